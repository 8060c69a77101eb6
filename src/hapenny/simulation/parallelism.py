"""A model spread over accelerators: what a server made of them does, from the model's size and the machine's rates.

Theory of operation (a roofline, after Pope et al., Efficiently Scaling Transformer Inference, MLSys 2023). A step of
decoding reads all weights and every sequence's keys and values, and computes two operations a parameter and token; a
prompt's tokens are computed together, so that they cost operations alone. *Tensor* parallelism splits each layer: the
split chips read and compute side by side, and add up twice a layer, over the link that joins them: within an instance,
or between instances where there are more of them than one holds. *Pipeline* parallelism splits the layers: a token
passes one stage after the other, so that it comes no sooner, but memory adds up, and the stages work on different
sequences. Replicas share nothing.

Efficiencies are assumed; measured points of a server replace all of it (`calibration`).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from hapenny.simulation.batching import ServerCard

PrecisionName: TypeAlias = Literal["fp32", "fp16", "int8"]
USED = 0.9
"""Of the memory: the rest is the runtime's."""
COMPUTED = 0.5
"""Of the operations a second that prompts reach; assumed."""
READ = 0.7
"""Of the memory's bandwidth that decoding reaches; assumed."""
HOP_S = 10e-6
"""Before anything travels over a link; assumed."""
CONTEXT = 2_000
"""Tokens whose keys and values a sequence's step reads, in the mean; assumed."""


class Precision(Struct, frozen=True, kw_only=True):
    """How weights are held, and what that does. The quality it leaves is not here: it has to be measured."""

    bytes_each: float
    speed: float
    """Operations a second, against 16 bits; assumed, as chips differ."""


PRECISIONS: dict[PrecisionName, Precision] = {
    "fp32": Precision(bytes_each=4.0, speed=0.5),
    "fp16": Precision(bytes_each=2.0, speed=1.0),
    "int8": Precision(bytes_each=1.0, speed=2.0),
}
_KEPT = 2.0
"""Bytes of an activation, key or value."""


class ModelSize(Struct, frozen=True, kw_only=True):
    """A transformer."""

    parameters: float
    layers: int
    hidden: int
    kv_bytes_a_token: float
    """Keys and values of a token, all layers: 2 x layers x heads that hold them x their size x 2 bytes."""


class Chips(Struct, frozen=True, kw_only=True):
    """Accelerators and what joins them; rates of one chip, a second."""

    name: str
    an_instance: int
    """Chips an instance has."""
    memory_bytes: float
    operations: float
    """At 16 bits, dense."""
    bandwidth: float
    """Bytes from its memory."""
    link: float
    """Bytes to others of its instance."""
    between: float
    """Bytes to chips of other instances."""
    joined: int = 1
    """Instances within reach of `between`."""
    source: str = "assumed"

    @property
    def reach(self) -> int:
        """Chips that are joined."""
        return self.an_instance * self.joined

    def holding(self, copy: int) -> int:
        """Chips of what holds a copy of so many: an instance, else all that are joined."""
        return self.an_instance if copy <= self.an_instance else self.reach


_GIB = float(1 << 30)
CHIPS = {
    each.name: each
    for each in (
        Chips(
            name="ml.p4d.24xlarge", an_instance=8, memory_bytes=40 * _GIB, operations=312e12, bandwidth=1.555e12,
            link=300e9, between=6.25e9, joined=64,
            source="assumed: A100 40 GB, NVLink 3, 400 Gbit/s of network shared by eight",
        ),
        Chips(
            name="ml.inf2.48xlarge", an_instance=12, memory_bytes=32 * _GIB, operations=190e12, bandwidth=0.82e12,
            link=96e9, between=1e9, source="assumed: Inferentia2, NeuronLink",
        ),
        Chips(
            name="ml.trn2.48xlarge", an_instance=16, memory_bytes=96 * _GIB, operations=667e12, bandwidth=2.9e12,
            link=256e9, between=64e9, joined=4, source="assumed: Trainium2, NeuronLink; an ultraserver joins four",
        ),
        Chips(
            name="ml.p6e-gb200.36xlarge", an_instance=4, memory_bytes=185 * _GIB, operations=2_500e12,
            bandwidth=8e12, link=900e9, between=900e9, joined=18,
            source="assumed: GB200; NVLink joins all 72 of an ultraserver alike",
        ),
    )
}  # fmt: skip


class Spread(Struct, frozen=True, kw_only=True):
    """How one copy of a model lies on chips."""

    tensor: int = 1
    pipeline: int = 1
    precision: PrecisionName = "fp16"

    @property
    def chips(self) -> int:
        """Chips a copy takes."""
        return self.tensor * self.pipeline


class Server(Struct, frozen=True, kw_only=True):
    """What a copy is as a server, and what it waits for."""

    card: ServerCard
    copies: int
    """That one instance, or one joined group where a copy needs more than an instance, holds."""
    link_share: float
    """Of a step with eight sequences that is spent on links."""
    quality: str
    """What is known of the answers' quality at this precision."""


def server(model: ModelSize, chips: Chips, spread: Spread, *, start_s: float = 180.0, most: int = 256) -> Server:
    """The server that a copy of `model` makes.

    Raises:
        ValueError: it does not fit, or is spread over more than is joined; with the fix.
    """
    if spread.tensor < 1 or spread.pipeline < 1:
        raise ValueError("tensor and pipeline count chips. Fix: 1 or more of each")
    if spread.chips > chips.reach:
        raise ValueError(
            f"{chips.name}: {spread.chips} chips, of {chips.reach} that are joined. Fix: fewer, or other chips"
        )
    kind = PRECISIONS[spread.precision]
    weights = model.parameters * kind.bytes_each
    left = spread.chips * chips.memory_bytes * USED - weights
    kv_tokens = int(left / model.kv_bytes_a_token)
    if kv_tokens < CONTEXT:
        needed = -(-(weights + CONTEXT * model.kv_bytes_a_token) // (chips.memory_bytes * USED))
        raise ValueError(
            f"{chips.name}: {weights / 1e9:.0f} GB of weights at {spread.precision} do not fit {spread.chips} chips. "
            f"Fix: {needed:.0f} chips or more, or fewer bits"
        )
    rate = chips.operations * kind.speed * COMPUTED
    fixed, token = _links(model, chips, spread)
    step = weights / (spread.tensor * chips.bandwidth * READ) + fixed
    sequence = CONTEXT * model.kv_bytes_a_token / (spread.chips * chips.bandwidth * READ)
    sequence += 2 * model.parameters / (spread.chips * rate) + token
    prefill = 1 / (2 * model.parameters / (spread.chips * rate) + token)
    card = ServerCard(
        step_s=step, sequence_s=sequence, prefill_tokens_per_s=prefill, kv_tokens=kv_tokens,
        cached_tokens=kv_tokens // 4, most=most, start_s=start_s,
    )  # fmt: skip
    return Server(
        card=card,
        copies=chips.holding(spread.chips) // spread.chips,
        link_share=(fixed + 8 * token) / (step + 8 * sequence),
        quality="as published" if spread.precision == "fp16" else "not measured: compare it on your own questions",
    )


def _links(model: ModelSize, chips: Chips, spread: Spread) -> tuple[float, float]:
    """Seconds on links: of a step, and of each token in it."""
    fixed = token = 0.0
    if spread.tensor > 1:  # twice a layer all chips add up what each has: a ring sends almost everything twice
        link = chips.link if spread.tensor <= chips.an_instance else chips.between
        fixed += 2 * model.layers * HOP_S
        token += 2 * model.layers * 2 * (spread.tensor - 1) / spread.tensor * model.hidden * _KEPT / link
    if spread.pipeline > 1:
        link = chips.link if spread.chips <= chips.an_instance else chips.between
        fixed += (spread.pipeline - 1) * HOP_S
        token += (spread.pipeline - 1) * model.hidden * _KEPT / link / spread.pipeline
    return fixed, token / spread.pipeline


def best(model: ModelSize, chips: Chips, precision: PrecisionName = "fp16") -> Spread:
    """Of the spreads that fit, that with the most tokens a second from an instance's or group's copies, at 32 sequences
    each; the soonest token decides between equals.

    Raises:
        ValueError: none fits.
    """
    fitting: list[tuple[float, float, int, Spread]] = []
    for tensor in (1, 2, 4, 8, 12, 16, 32, 64):
        for pipeline in (1, 2, 3, 4, 8, 16):
            spread = Spread(tensor=tensor, pipeline=pipeline, precision=precision)
            try:
                made = server(model, chips, spread)
            except ValueError:
                continue
            at_once = min(32, made.card.kv_tokens // CONTEXT)
            step = made.card.step_s + at_once * made.card.sequence_s
            fitting.append((-made.copies * at_once / step / chips.holding(spread.chips), step, spread.chips, spread))
    if not fitting:
        size = model.parameters * PRECISIONS[precision].bytes_each / 1e9
        raise ValueError(f"{chips.name}: {size:.0f} GB of weights at {precision} fit no spread. Fix: fewer bits")
    return min(fitting, key=lambda each: each[:3])[3]
