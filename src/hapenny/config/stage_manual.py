"""Pages made from the table of stages: the life of a request, and what each preset switches on.

`python -m hapenny.config.stage_manual` in the root of the repository writes them where they stand.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import get_args

from hapenny.config import manual
from hapenny.config.stages import PRESETS, STAGES
from hapenny.core.stage_spec import Phase, Preset

BEGIN, END = "<!-- stages: made by `python -m hapenny.config.stage_manual` -->", "<!-- stages: end -->"
"""What stands around the picture in CONTRIBUTING.md."""
_PRESETS: tuple[Preset, ...] = get_args(Preset)
_MADE = "This page is made from the table of stages (`hapenny.config.stages`) by `hapenny options {}`."


def picture() -> str:
    """The way of a request through the stages, as a block of text."""
    lines = ["server: wire -> Request -> Exchange"]
    lines += [" names, route, holdout, intent; then the stages that are not off on the route:"]
    for phase in Phase:
        names = " -> ".join(spec.name for spec in STAGES if spec.phase is phase)
        names += " -> backend" if phase is Phase.SEND else ""
        lines.append(f" {phase.name.lower():6} {names}")
    lines += [" events flow back through what the stages attached, to whoever waits; then the ledger's row"]
    return "\n".join(["```", *lines, "server: events -> wire", "```"])


def life() -> str:
    """The life of a request, as a page."""
    lines = ["# The life of a request", "", picture(), "", *_wrapped(_STAGES)]
    for phase in Phase:
        lines += ["", f"## {phase.name.capitalize()}: {phase.value}", ""]
        for spec in STAGES:
            if spec.phase is phase:
                lines += _wrapped(f"**{spec.name}** {spec.does}.{_remarks(spec.lossy, spec.ahead)}", "- ")
    lines += ["", *_wrapped(_KEYS), "", *_wrapped(_MADE.format("--life"))]
    return "\n".join(lines) + "\n"


def presets() -> str:
    """What each preset switches on, as a page."""
    lines = [
        "# Presets",
        "",
        *_wrapped(_MODES),
        "",
        "| stage | " + " | ".join(f"`{name}`" for name in _PRESETS) + " | |",
    ]
    lines += ["| --- |" + " --- |" * (len(_PRESETS) + 1)]
    for spec in STAGES:
        modes = " | ".join(_shown(PRESETS[preset][spec.name]) for preset in _PRESETS)
        lines.append(f"| `{spec.name}` | {modes} | {spec.does}{'; can change an answer' if spec.lossy else ''} |")
    lines += ["", *_wrapped(_MADE.format("--presets"))]
    return "\n".join(lines) + "\n"


def within(text: str) -> str:
    """`text` with the picture between its marks. Raises `ValueError` where it has none."""
    head, begun, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"no place for the picture. Fix: {BEGIN} and {END} on lines of their own")
    return f"{head}{BEGIN}\n{picture()}\n{END}{tail}"


_STAGES = (
    "A stage decides first and never changes the request by that; only where its mode is `on` does it act on what it "
    "decided, by changing the request and passing it on, or by answering. In `shadow` the decision is recorded and "
    "nothing follows; where it is `off` the stage is not there. In the holdout every stage is off. Fallbacks "
    "(`fallbacks:`) are no stage of this table: behind the choice of a tier they stand in for a model that cannot "
    "answer, whatever the modes say. What a stage leaves "
    "for another is a typed note (`hapenny.core.notes`), and what is said of an answer stands in `exchange.answer`. "
    "Stages that can change an answer share the route's loss budget; where it is spent, the one with the largest loss "
    "steps back."
)
_KEYS = (
    "The key of a stored answer holds the question, who may see the answer, and the policy: what the name asked for "
    "means, the prompt version and knowledge epoch of the route, the arms that change answers, and the version of the "
    "configuration. That version covers the options of the shaping stages that are on, and what else of the "
    "configuration can change an answer; a reload that changes anything else keeps every stored answer."
)
_MODES = (
    "A preset is a mode for every stage; `routes.NAME.preset` chooses it and `routes.NAME.stages` differs from it. "
    "`on` acts. `shadow` decides, records what it would have saved, and changes nothing. `off` is not there. `safe` "
    "switches on what cannot change an answer; the rest watches, except where even watching would cost something."
)


def _remarks(lossy: bool, ahead: bool) -> str:
    return " *Can change an answer.*" * lossy + " *Not for answers ahead.*" * (not ahead)


def _shown(mode: str) -> str:
    return f"**{mode}**" if mode == "on" else mode


def _wrapped(text: str, first: str = "") -> list[str]:
    return textwrap.wrap(
        text, 120, initial_indent=first, subsequent_indent=" " * len(first), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def write(root: Path) -> None:
    """Writes the pages, and the manual of all options, where they stand in the repository."""
    contributing = root / "CONTRIBUTING.md"
    contributing.write_text(within(contributing.read_text(encoding="utf-8")), encoding="utf-8")
    for name, page in (("life-of-a-request", life()), ("presets", presets()), ("configuration", manual.markdown())):
        (root / "docs" / f"{name}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    write(Path.cwd())
