"""What is done about what is found: which kinds are blocked, redacted or noted, which topics are denied, and how it
is written where something was taken out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hapenny.guarding.actions import Action, Style, actions_of
from hapenny.guarding.detector import Detector
from hapenny.guarding.finding import Kind
from hapenny.guarding.topics import Topics


class Policy:
    """The rules of one route and direction.

    Args:
        items: action by kind or group; one kind's own word goes before a group's.
        topics: phrases by topic, for those that are denied.
        watched: phrases by topic, for those that are noted.
        style: how what is redacted is written.

    Raises:
        ValueError: a kind, group or phrase that there is not.
    """

    def __init__(
        self,
        items: Mapping[str, Action],
        topics: Mapping[str, Sequence[str]] | None = None,
        watched: Mapping[str, Sequence[str]] | None = None,
        style: Style = "placeholder",
    ) -> None:
        actions = actions_of(items)
        self.redacts = Detector(kind for kind, action in actions.items() if action == "redact")
        self.blocks = Detector(kind for kind, action in actions.items() if action == "block")
        self.notes = Detector(kind for kind, action in actions.items() if action == "note")
        self.detectors = tuple(each for each in (self.blocks, self.redacts, self.notes) if each.kinds)
        self.denied = Topics(topics or {})
        self.watched = Topics(watched or {})
        self.style: Style = style
        self.plain = not self.denied and not self.watched and not {"person", "address"} & set(actions)
        """Whether all that is looked for is told by its characters: no topics, names or addresses."""

    def __bool__(self) -> bool:
        return bool(self.detectors) or bool(self.denied) or bool(self.watched)

    @property
    def rewrites(self) -> bool:
        """Whether a text may come out different, or be refused."""
        return bool(self.redacts.kinds or self.blocks.kinds) or bool(self.denied)

    def written(self, kind: Kind, text: str) -> str:
        """What stands in place of `text`, an item of a kind or a part of one."""
        if self.style == "mask":
            return "".join("*" if character.isalnum() else character for character in text)
        return placeholder(kind)


def placeholder(kind: str) -> str:
    """What stands in place of an item of a kind."""
    return f"[{kind.upper()}]"
