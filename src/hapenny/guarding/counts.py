"""How often guardrails acted, by stage, kind and action: the counter behind `hapenny_guardrail_findings_total`.

Its labels are bounded: kinds are those of the rules, the topics that the configuration names, and the names of the
configured guardrails of providers. No text of anybody, and no word that a provider chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hapenny.guarding.remote_guard import Ruling

_ACTIONS: Final = {"noted": "note", "redacted": "redact", "blocked": "block"}
_OTHERS: Final = {"cut at its greatest length": ("length", "cut"), "reasoning left out": ("reasoning", "redact")}


class GuardCounts(dict[tuple[str, str, str], float]):
    """Findings by (stage, kind, action)."""

    def take(self, stage: str, tally: Mapping[str, int], before: Mapping[str, int] | None = None) -> None:
        """Adds what a tally has more than it had `before`."""
        for what, count in tally.items():
            more = count - (before.get(what, 0) if before else 0)
            if more:
                self._add(stage, *_labels(what), more)

    def take_ruling(self, stage: str, guardrail: str, ruling: Ruling, *, changed: bool) -> None:
        """Adds what a provider's guardrail found, under the name it has in the configuration."""
        if ruling.blocked or ruling.found or changed:
            action = "block" if ruling.blocked else "redact" if changed else "note"
            self._add(stage, f"remote {guardrail}", action, max(1, len(ruling.found)))

    def _add(self, stage: str, kind: str, action: str, count: int) -> None:
        self[stage, kind, action] = self.get((stage, kind, action), 0.0) + count


def _labels(what: str) -> tuple[str, str]:
    """Kind and action of a word of a tally: `redacted email` is an email, redacted."""
    other = _OTHERS.get(what)
    if other is not None:
        return other
    done, _, kind = what.partition(" ")
    return kind, _ACTIONS[done]
