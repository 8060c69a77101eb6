"""What the queue needs to know of a request: how big, how urgent, whose, and by when."""

from __future__ import annotations

import enum
import math
from typing import Literal, TypeAlias

import msgspec

from hapenny.core.errors import Unavailable


class Priority(enum.IntEnum):
    """Classes of the queue, first served first."""

    URGENT = 0
    NORMAL = 1
    BACKGROUND = 2


class Job(msgspec.Struct, kw_only=True):
    """One request as the queue sees it. Times are `Clock.now()` seconds, sizes are tokens.

    `input_tokens` counts uncached input, `cached_tokens` what is expected to be read from the provider's prefix cache.
    `predicted_output`: the expected answer size; `max_tokens` when nothing better is known.
    `prefix`: equal for prompts that begin alike (a running hash), "" when unknown.
    `patience`: seconds it may wait for a quota, also after a throttle; the gate's own patience holds besides.
    `cost`: what fair shares and waits are counted in: quota units where there is a quota, else tokens moved.
    """

    input_tokens: int
    max_tokens: int
    predicted_output: int = 0
    cached_tokens: int = 0
    tenant: str = ""
    weight: float = 1.0
    priority: Priority = Priority.NORMAL
    prefix: str = ""
    begin_by: float = math.inf
    finish_by: float = math.inf
    patience: float = math.inf
    arrived: float = 0.0
    cost: float = 0.0

    def __post_init__(self) -> None:
        if self.predicted_output <= 0:
            self.predicted_output = self.max_tokens
        if self.cost <= 0:
            self.cost = float(self.input_tokens + self.cached_tokens + self.predicted_output)


ShedKind: TypeAlias = Literal["rate_limited", "overloaded", "provider_account"]


class Shed(Unavailable):
    """The queue turns a request away at once, because no answer could begin in time.

    Its kind is `rate_limited` (429) when a quota is used up, `overloaded` (503) when servers are full or failing,
    `provider_account` (503) when providers refuse the gateway's own account.
    """

    def __init__(self, reason: str, kind: ShedKind, *, retry_after: float) -> None:
        super().__init__(f"{reason}; try again in {retry_after:.1f} s", retry_after=retry_after)
        self.kind = kind
