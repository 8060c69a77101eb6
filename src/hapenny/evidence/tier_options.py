"""What the choice of a tier may do with a request: let a cheaper tier answer, or let it answer where the request's own
evidence carries its answer, and the baseline where it does not."""

from __future__ import annotations

from typing import Final

_CHECKED: Final = ":checked"


def checked(tier: str) -> str:
    """The option of a tier whose answers are checked (`hapenny.evidence.grounding`) before they are served."""
    return tier + _CHECKED


def is_checked(option: str) -> bool:
    """Whether an option serves checked answers alone."""
    return option.endswith(_CHECKED)


def tier_of(option: str) -> str:
    """The tier that answers first."""
    return option.removesuffix(_CHECKED)
