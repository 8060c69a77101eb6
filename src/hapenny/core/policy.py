"""What, besides the request itself, decides its answer: what the name asked for means, versions, epoch and arms."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from hapenny.core.calls import Target


class Asked(Struct, frozen=True, kw_only=True):
    """What a name means. A `model` is answered by that model; only `tier` and `auto` are routed."""

    name: str
    kind: Literal["model", "tier", "auto"]
    target: Target | None
    """None: unknown (kind model) or still to be chosen (kind auto)."""
    fallbacks: tuple[Target, ...] = ()
    named: Target | None = None
    """The model that the client named where the operator has this name treated as another (`treat_as`): what the
    request is compared with, and what answers it where the strongest is wanted."""

    @property
    def policy(self) -> str:
        """What of it belongs in a cache key."""
        return f"{self.kind}:{self.name}" if self.target is None else f"{self.kind}:{self.target.model}"


class Policy(Struct, frozen=True, array_like=True, gc=False):
    """The policy an answer is given under. All of it is part of every cache key."""

    model: str = ""
    """What the name asked for means (`Asked.policy`)."""
    config_version: str = ""
    """Of the configuration, as far as it can change an answer."""
    prompt_version: str = ""
    """The route's."""
    knowledge_epoch: str = ""
    """The route's."""
    arms: tuple[str, ...] = ()
    """Arms of experiments that change the answer, in the order they were applied."""
