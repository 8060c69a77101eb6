"""The kind `simulated`: a provider in this process. Its machinery is loaded where one is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from hapenny.backends.contract import Backend
from hapenny.backends.fitting import Find
from hapenny.backends.kind import BackendOptions, Kind, bedrock_style
from hapenny.backends.passable import EVERYTHING
from hapenny.core.clock import Clock


class QuotaOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Quotas of a simulated provider, a model; None is no limit."""

    rpm: Annotated[int | None, Meta(description="Requests a minute.")] = None
    tpm: Annotated[
        int | None,
        Meta(description="Tokens a minute; `max_tokens` is reserved and settled, as Bedrock does."),
    ] = None


class SimulatedOptions(BackendOptions, kw_only=True, tag="simulated"):
    """A simulated provider: models that cost nothing, need no account, and answer as their card says."""

    card: Annotated[str, Meta(description="Which simulated models: `manga-2024` or `current-2026`.")] = "manga-2024"
    seed: Annotated[int, Meta(description="Seeds simulated latencies and faults.")] = 7
    latents: Annotated[int, Meta(description="Which draw of the simulated models' successes: 0 is the card's own.")] = 0
    truth: Annotated[
        str | None,
        Meta(description="A file with the right answers to the questions that simulated models will be asked."),
    ] = None
    quota: Annotated[QuotaOptions | None, Meta(description="Limits of its models; null: none.")] = None
    faults: Annotated[
        dict[str, Any],
        Meta(description="What goes wrong in a simulated provider: kind to share, e.g. `{throttle: 0.05}`."),
    ] = field(default_factory=dict)


def _build(name: str, options: SimulatedOptions, clock: Clock, find: Find | None) -> Backend:
    from hapenny.backends.simulated import SimulatedBackend
    from hapenny.simulation.cards import LINEUPS
    from hapenny.simulation.provider import Limit, SimulatedProvider

    lineup = LINEUPS.get(options.card)
    if lineup is None:
        raise ValueError(f"card: {options.card!r} is no card of simulated models. Fix: one of {', '.join(LINEUPS)}")
    quotas = {"*": Limit(options.quota.rpm, options.quota.tpm)} if options.quota is not None else None
    provider = SimulatedProvider(
        clock,
        lineup,
        seed=options.seed,
        latents=options.latents,
        truth=_truth(options.truth),
        quotas=quotas,
        faults=_faults(options.faults),
    )
    return SimulatedBackend(name, provider, options.region, find=find)


def _truth(path: str | None) -> Any:
    """What is right, from a file of `workload.truth_file`."""
    if path is None:
        return None
    from hapenny.simulation.workload.truth_file import load

    return load(path)


def _faults(wanted: Mapping[str, Any]) -> list[Any]:
    """`{throttle: 0.05}` or `{slow: {share: 0.1, factor: 4}}` as faults."""
    import msgspec

    from hapenny.simulation.faults import KINDS, Fault

    drawn: list[Any] = []
    for kind, how in wanted.items():
        if kind not in KINDS:
            raise ValueError(f"faults.{kind}: no such fault. Fix: one of {', '.join(KINDS)}")
        fields = dict(how) if isinstance(how, Mapping) else {"share": how}
        try:
            fault = msgspec.convert({"kind": kind, **fields}, Fault)
        except msgspec.ValidationError as error:
            raise ValueError(f"faults.{kind}: {error}. Fix: a share from 0 to 1, or a mapping with `share`") from None
        if not 0 <= fault.share <= 1:
            raise ValueError(f"faults.{kind}: {fault.share} is no share. Fix: a value from 0 to 1")
        drawn.append(fault)
    return drawn


KIND = Kind(
    "simulated",
    SimulatedOptions,
    _build,
    codec="bedrock",
    telemetry="hapenny.simulated",
    ways=EVERYTHING,
    passes={"model": 1, "openai-prefix": 1, "openai": 2, "anthropic": 2, "other": 2},
    own_records=("bedrock", "invoke"),
    batch="bedrock",
    batch_wants={"bucket": "the path of a folder for input and output"},
    embeds=bedrock_style,
    lists=True,
)
