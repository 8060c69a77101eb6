"""What `hapenny plan` shows of Bedrock or own servers: reasons, inference servers side by side, start-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hapenny.cli.printable import printable, say

if TYPE_CHECKING:
    from rich.console import Console

    from hapenny.capacity.inference_servers import Figure
    from hapenny.capacity.where import Advice


def as_plain(advice: Advice, weights_gb: float | None) -> dict[str, Any]:
    """The same for `--json`."""
    import msgspec

    from hapenny.capacity.inference_servers import ENGINES
    from hapenny.capacity.instances import INSTANCES, MISTAKES, PROFILES, start

    starts = [start(profile, weights_gb) for profile in PROFILES] if weights_gb is not None else []
    plain: dict[str, Any] = msgspec.to_builtins(
        {"where": advice, "inference_servers": ENGINES, "instances": INSTANCES, "mistakes": MISTAKES, "starts": starts}
    )
    return plain


def show(advice: Advice, weights_gb: float | None, console: Console) -> None:
    """Prints it."""
    from rich.table import Table

    from hapenny.capacity.inference_servers import ENGINES
    from hapenny.capacity.instances import PROFILES, start

    say(printable(f"Where: {advice.where}: {advice.why}"))
    for reason in advice.reasons:
        say(printable(f"  {reason.topic}: {reason.leans}. {reason.why}"))
    table = Table(box=None, title="Inference servers (different settings: see --json for each source)")
    table.title_justify = "left"
    table.add_column("", no_wrap=True)
    for name in ("throughput", "first token", "p99", "start", "strength"):
        table.add_column(name)
    for engine in ENGINES:
        figures = (engine.throughput, engine.ttft, engine.p99, engine.start)
        table.add_row(engine.name, *(_figure(each) for each in figures), engine.strength)
    console.print(table)
    if weights_gb is None:
        return
    for profile in PROFILES:
        made = start(profile, weights_gb)
        limits = ", ".join(f"{name} {seconds}" for name, seconds in made.limits.items())
        verdict = "" if made.fits else "; DOES NOT FIT what SageMaker allows"
        say(f"Start of {made.engine}: download {made.download_s:,.0f} s (assumed), ready {made.ready_s:,.0f} s later "
            f"({_source(made.source)}). Set: {limits}{verdict}")  # fmt: skip


def _figure(figure: Figure) -> str:
    if figure.value is None:
        return "not known"
    return f"{figure.value:,.0f} {figure.unit} ({_source(figure.source)})"


def _source(source: str) -> str:
    """Where a figure comes from, in a word: the site, or `assumed`."""
    site = source.split("/")[2] if source.startswith("http") else source
    return f"{site}, unverified" if "unverified" in source else site
