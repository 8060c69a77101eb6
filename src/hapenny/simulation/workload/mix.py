"""The traffic mix: what shoppers ask, how often, how long, how hard. One dated file, each figure with its source.

A mix file is YAML. `manga-shop.yaml` beside this module is the one that stands for the reference application; any
other is given as `--mix FILE`. The format is strict: a field that is unknown, missing, out of range or without a
source is refused, and the message says where and what to write.
"""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct, field

from hapenny.core.strict_yaml import read_yaml
from hapenny.simulation.workload.truth import Kind

DEFAULT = Path(__file__).with_name("manga-shop.yaml")
ASKS = (
    "order_status", "stock", "price", "release_date", "product_info", "recommendation", "returns", "shipping",
    "store", "complaint", "reckoning", "translation", "export", "small_talk", "hostile",
)  # fmt: skip
"""What an intent can ask; each has wordings, documents and a truth (`questions`)."""
TOOLED = frozenset({"order_status", "stock"})
"""What is looked up by a tool."""
_SOURCED = ("share", "kind", "difficulty", "tokens", "repeat", "rephrase", "follow_up")
_TRAFFIC = ("messages_per_day", "languages", "day_profile", "burstiness", "sessions", "drift", "campaigns", "releases")


class MixError(ValueError):
    """A mix file that cannot be used; the message says where, why and what to write instead."""


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens of an answer: median and 95th percentile, log-normal between."""

    p50: int
    p95: int


class Tokens(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens of a message by part, as a card's tokenizer of Claude 3 counts English. `documents` are what retrieval
    found, `tools` the declared tools; the turns of the session before it come on top."""

    system: int
    tools: int = 0
    documents: int = 0
    question: int = 0
    """At least that many; shorter wordings are padded with small talk. 0: as worded."""
    answer: Answer


class Intent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing shoppers want."""

    share: float
    """Of all messages."""
    asks: str
    """Which questions, see `ASKS`."""
    kind: Kind
    """The kind of work it is for a model."""
    difficulty: float
    """Standard deviations above (harder) or below the mean of its kind."""
    tokens: Tokens
    repeat: float
    """Share of messages that ask an earlier question word for word."""
    rephrase: float
    """Share that ask an earlier question in other words."""
    follow_up: float
    """Chance that a message is followed by one that refers to it."""
    sources: dict[str, str]
    """By field: where the figure comes from, or `assumed`."""


class Drift(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares swing by a factor of up to `1 + amplitude` with this period, each intent in its own phase."""

    period_days: float
    amplitude: float


class Sessions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A session goes on with another question with chance `more`, about `gap_s` seconds after the answer before."""

    more: float
    gap_s: float


class Campaign(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From `hour` of `day` on, for `hours`, an intent is asked `factor` times as often."""

    intent: str
    day: int
    hour: float
    hours: float
    factor: float


class Release(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From `hour` of `day` on, for `minutes`, traffic is `factor` times as high; what comes on top asks about one new
    volume."""

    day: int
    hour: float
    minutes: float
    factor: float


class Traffic(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How messages arrive."""

    messages_per_day: int
    languages: dict[str, float]
    day_profile: tuple[float, ...]
    """Relative rate in each hour of the day."""
    burstiness: float
    """Coefficient of variation of the gaps between sessions."""
    sessions: Sessions
    drift: Drift
    campaigns: tuple[Campaign, ...] = ()
    releases: tuple[Release, ...] = ()
    sources: dict[str, str]


class Mix(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole mix."""

    name: str
    date: date
    about: str
    documents_scale: float = 1.0
    """Factor on all `documents`: the one figure that is calibrated, so that a message costs what it should with
    everything off."""
    traffic: Traffic
    intents: dict[str, Intent] = field(default_factory=dict)

    def digest(self) -> str:
        """Sixteen hexadecimal digits that name this very mix."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]

    def assumed(self) -> float:
        """Share of the sourced fields that are `assumed`."""
        origins = [text for intent in self.intents.values() for text in intent.sources.values()]
        origins += self.traffic.sources.values()
        return sum(text.startswith("assumed") for text in origins) / len(origins)


def load(path: str | Path | None = None) -> Mix:
    """The mix at `path`, or the reference application's.

    Raises:
        MixError: the file cannot be read or is no valid mix.
    """
    path = Path(path) if path is not None else DEFAULT
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MixError(f"{path}: {error.strerror or error}. Fix: give a mix file that can be read") from None
    return read(text, str(path))


def read(text: str, name: str = "mix") -> Mix:
    """The mix in YAML text. Raises `MixError`."""
    try:
        raw: Any = read_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        raise MixError(f"{name}: no YAML: {' '.join(str(error).split())}") from None
    try:
        mix = msgspec.convert(raw, Mix, strict=True)
    except msgspec.ValidationError as error:
        raise MixError(f"{name}: {error}. Fix: docs/simulation.md lists the fields of a mix") from None
    problems = _problems(mix)
    if problems:
        raise MixError(f"{name}: " + "; ".join(problems))
    return mix


def _problems(mix: Mix) -> list[str]:
    problems: list[str] = []

    def share(where: str, value: float) -> None:
        if not 0 <= value <= 1:
            problems.append(f"{where}: {value} is no share. Fix: a value from 0 to 1")

    if not mix.intents:
        problems.append("intents: there is none. Fix: at least one")
    for name, intent in mix.intents.items():
        where = f"intents.{name}"
        for part in ("share", "repeat", "rephrase", "follow_up"):
            share(f"{where}.{part}", getattr(intent, part))
        if intent.repeat + intent.rephrase > 1:
            problems.append(f"{where}: repeat + rephrase is above 1. Fix: lower one of them")
        if intent.asks not in ASKS:
            problems.append(f"{where}.asks: {intent.asks!r} is not known. Fix: one of {', '.join(ASKS)}")
        if abs(intent.difficulty) > 3:
            problems.append(f"{where}.difficulty: {intent.difficulty} is out of range. Fix: from -3 to 3")
        problems += _tokens(where, intent)
        problems += _unsourced(where, intent.sources, _SOURCED)
    total = sum(intent.share for intent in mix.intents.values())
    if mix.intents and abs(total - 1) > 1e-6:
        problems.append(f"intents: the shares add up to {total:.6g}. Fix: they must add up to 1")
    if not 0.05 <= mix.documents_scale <= 20:
        problems.append(f"documents_scale: {mix.documents_scale} is out of range. Fix: from 0.05 to 20")
    return problems + _traffic(mix)


def _tokens(where: str, intent: Intent) -> list[str]:
    problems = []
    tokens = intent.tokens
    for part, most in (("system", 20_000), ("tools", 20_000), ("documents", 60_000), ("question", 4_000)):
        value = getattr(tokens, part)
        if not 0 <= value <= most:
            problems.append(f"{where}.tokens.{part}: {value} is out of range. Fix: from 0 to {most}")
    if not 1 <= tokens.answer.p50 <= tokens.answer.p95 <= 4_000:
        problems.append(f"{where}.tokens.answer: needs 1 <= p50 <= p95 <= 4000")
    if intent.asks in TOOLED and (intent.kind != "tools" or not tokens.tools):
        problems.append(f"{where}: {intent.asks} is looked up by a tool. Fix: kind: tools, and tokens.tools above 0")
    if intent.kind == "tools" and intent.asks not in TOOLED:
        problems.append(f"{where}.kind: {intent.asks} needs no tool. Fix: another kind")
    return problems


def _unsourced(where: str, sources: dict[str, str], wanted: tuple[str, ...]) -> list[str]:
    problems = [
        f"{where}.sources.{part}: missing. Fix: where the figure comes from, or `assumed`"
        for part in wanted
        if not sources.get(part, "").strip()
    ]
    return problems + [f"{where}.sources.{part}: there is no such field" for part in sources if part not in wanted]


def _traffic(mix: Mix) -> list[str]:
    traffic = mix.traffic
    problems = _unsourced("traffic", traffic.sources, _TRAFFIC)
    unknown = [name for name in traffic.languages if name not in ("en", "ja", "vi")]
    if unknown:
        problems.append(f"traffic.languages: {', '.join(unknown)} is not spoken here. Fix: en, ja, vi")
    if abs(sum(traffic.languages.values()) - 1) > 1e-6 or min(traffic.languages.values(), default=0) < 0:
        problems.append("traffic.languages: shares must not be negative and must add up to 1")
    if len(traffic.day_profile) != 24 or min(traffic.day_profile, default=-1) < 0 or not sum(traffic.day_profile):
        problems.append("traffic.day_profile: needs 24 values, one an hour, not negative and not all 0")
    if traffic.messages_per_day < 1:
        problems.append("traffic.messages_per_day: must be at least 1")
    if not 1 <= traffic.burstiness <= 5:
        problems.append(f"traffic.burstiness: {traffic.burstiness} is out of range. Fix: from 1 (Poisson) to 5")
    if not 0 <= traffic.sessions.more <= 0.9 or not 1 <= traffic.sessions.gap_s <= 3600:
        problems.append("traffic.sessions: needs more from 0 to 0.9 and gap_s from 1 to 3600")
    if traffic.drift.period_days <= 0 or not 0 <= traffic.drift.amplitude <= 1:
        problems.append("traffic.drift: needs period_days above 0 and amplitude from 0 to 1")
    for index, campaign in enumerate(traffic.campaigns):
        if campaign.intent not in mix.intents:
            problems.append(f"traffic.campaigns[{index}].intent: there is no intent {campaign.intent!r}")
        if campaign.factor <= 0 or campaign.hours <= 0 or campaign.day < 0 or not 0 <= campaign.hour < 24:
            problems.append(f"traffic.campaigns[{index}]: needs day >= 0, hour below 24, hours and factor above 0")
    for index, release in enumerate(traffic.releases):
        if release.factor < 1 or release.minutes <= 0 or release.day < 0 or not 0 <= release.hour < 24:
            problems.append(f"traffic.releases[{index}]: needs day >= 0, hour below 24, minutes above 0, factor from 1")
    return problems
