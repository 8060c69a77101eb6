"""Words of the configuration: what is done, about which items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from hapenny.guarding.finding import KINDS, STRUCTURED, Kind

Action: TypeAlias = Literal["off", "note", "redact", "block"]
Style: TypeAlias = Literal["placeholder", "mask"]

GROUPS: Final[Mapping[str, tuple[Kind, ...]]] = {
    "all": tuple(kind for kind in KINDS if kind in STRUCTURED),
    "national_id": ("my_number", "cccd", "ssn"),
}
"""Words for several kinds. `all` is every kind whose form tells it; names and addresses are asked for by their own."""


def actions_of(items: Mapping[str, Action]) -> dict[Kind, Action]:
    """The action for each kind. Raises `ValueError` for a kind that there is not."""
    actions: dict[Kind, Action] = {}
    for name, action in items.items():
        for kind in GROUPS.get(name, ()):
            actions.setdefault(kind, action)
    for name, action in items.items():
        if name in KINDS:
            actions[name] = action
        elif name not in GROUPS:
            raise ValueError(f"{name!r} is no kind of item; there are {', '.join([*GROUPS, *KINDS])}")
    return actions
