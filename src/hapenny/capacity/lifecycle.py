"""The life of an endpoint that serves a large model: registered, loaded, warmed, ready, drained, unloaded.

Weights of hundreds of gigabytes make a start a matter of minutes, each of whose parts has a time limit of its own. The
controller counts a server only from `ready` on, and pays for it from the download on.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from hapenny.capacity.instances import TIMEOUTS, StartProfile, start

State: TypeAlias = Literal["registered", "downloading", "loading", "warming", "ready", "draining", "unloaded"]
_NEXT: dict[State, tuple[State, ...]] = {
    "registered": ("downloading",),
    "downloading": ("loading", "unloaded"),
    "loading": ("warming", "unloaded"),
    "warming": ("ready", "unloaded"),
    "ready": ("draining",),
    "draining": ("ready", "unloaded"),
    "unloaded": ("downloading",),
}
WARM_S = 20.0
"""Of a start, for the first requests that compile what loading did not; assumed."""


class Step(Struct, frozen=True, kw_only=True):
    """One state: how long it lasts, what is called to come there, and what has to hold to go on."""

    state: State
    seconds: float
    call: str
    """Of SageMaker; "" where nothing is called."""
    until: str
    limit_s: float | None = None
    """After which the start has failed."""


def steps(profile: StartProfile, weights_gb: float, *, drain_s: float = 300.0) -> list[Step]:
    """The life of one copy, with times from the engine's profile.

    Raises:
        ValueError: the weights cannot be loaded within the limits that can be set.
    """
    made = start(profile, weights_gb)
    if not made.fits:
        raise ValueError(
            f"{weights_gb:g} GB: download {made.download_s:,.0f} s and start {made.ready_s:,.0f} s, "
            f"of {TIMEOUTS[1]:,} s each. Fix: fewer bits, several shards, or weights on the instance's disk"
        )
    limits = made.limits
    warm = min(WARM_S, made.ready_s)
    return [
        Step(state="registered", seconds=0.0, call="CreateModel, CreateEndpointConfig", until="names are there"),
        Step(
            state="downloading", seconds=made.download_s, call="CreateInferenceComponent", until="weights are there",
            limit_s=limits["ModelDataDownloadTimeoutInSeconds"],
        ),
        Step(
            state="loading", seconds=made.ready_s - warm, call="", until="/ping answers",
            limit_s=limits["ContainerStartupHealthCheckTimeoutInSeconds"],
        ),
        Step(state="warming", seconds=warm, call="InvokeEndpoint", until="a prompt of usual length has its answer"),
        Step(state="ready", seconds=0.0, call="", until="the controller wants fewer for as long as a start costs"),
        Step(
            state="draining", seconds=drain_s, call="UpdateInferenceComponentRuntimeConfig",
            until="nothing is under way; comes back to ready where more are wanted meanwhile",
        ),
        Step(state="unloaded", seconds=0.0, call="DeleteInferenceComponent", until="traffic comes again"),
    ]  # fmt: skip


def start_s(life: list[Step]) -> float:
    """Seconds from the wish for one more copy until it serves: what the controller looks ahead."""
    return sum(step.seconds for step in life if step.state in ("downloading", "loading", "warming"))


class Copy:
    """One copy under way through its life. `served`: whether requests go there."""

    def __init__(self) -> None:
        self.state: State = "registered"
        self.since = 0.0

    @property
    def served(self) -> bool:
        """Whether new requests go there."""
        return self.state == "ready"

    @property
    def paid(self) -> bool:
        """Whether its instance runs."""
        return self.state not in ("registered", "unloaded")

    def to(self, state: State, now: float) -> None:
        """Goes on to `state`.

        Raises:
            ValueError: there is no way from here to there.
        """
        if state not in _NEXT[self.state]:
            ways = ", ".join(_NEXT[self.state])
            raise ValueError(f"a copy that is {self.state} does not become {state}. Fix: one of {ways}")
        self.state, self.since = state, now

    def overdue(self, now: float, life: list[Step]) -> bool:
        """Whether its state has lasted longer than its limit: the start has failed and is to be undone."""
        step = next(each for each in life if each.state == self.state)
        return step.limit_s is not None and now - self.since > step.limit_s


def documents(life: list[Step]) -> list[dict[str, Any]]:
    """The steps as plain data."""
    return [
        {"state": each.state, "seconds": round(each.seconds, 1), "call": each.call, "until": each.until,
         **({"limit_s": each.limit_s} if each.limit_s is not None else {})}
        for each in life
    ]  # fmt: skip
