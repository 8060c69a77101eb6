"""The population: shoppers who come in sessions, repeat each other, rephrase, follow up, and flock to releases.

Sessions arrive as a bursty renewal process whose rate follows the hour, campaigns and releases. Each message is a new
question, an earlier one word for word, or an earlier one in other words, at the rates of its intent; shares drift from
day to day. Everything follows from mix, catalogue and seed: two runs are equal, and a run of `count` messages is the
whole traffic of `days` scaled down.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from hapenny.simulation.workload.chance import Draws, number
from hapenny.simulation.workload.mix import Intent, Mix, Release
from hapenny.simulation.workload.products import (
    make_aspect,
    make_export,
    make_order,
    make_reckoning,
    make_recommendation,
    make_stock,
)
from hapenny.simulation.workload.questions import (
    Asked,
    Maker,
    Subject,
    Wanted,
    make_hostile,
    make_policy,
    make_small_talk,
    make_translation,
)
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.subjects import Subjects
from hapenny.simulation.workload.truth import Item

How: TypeAlias = Literal["new", "repeat", "rephrase", "follow_up"]
DAY = 86_400.0
_STEP = 60.0  # seconds: the grain of the arrival rate
_KEPT = 3_000  # questions of an intent and language that may be asked again

MAKERS: dict[str, Maker] = {
    "order_status": make_order, "stock": make_stock, "price": make_aspect, "release_date": make_aspect,
    "product_info": make_aspect, "recommendation": make_recommendation, "returns": make_policy,
    "shipping": make_policy, "store": make_policy, "complaint": make_policy, "reckoning": make_reckoning,
    "translation": make_translation, "export": make_export, "small_talk": make_small_talk, "hostile": make_hostile,
}  # fmt: skip


class Message(Struct, frozen=True, kw_only=True):
    """One message of a shopper."""

    number: int
    at: float
    """Seconds from the start of day 0."""
    day: int
    session: str
    user: str
    language: str
    intent: str
    how: How
    text: str
    item: Item
    documents: tuple[str, ...]
    """What retrieval found for it."""
    earlier: tuple[int, ...]
    """Numbers of the messages of the session before it."""
    follows: str
    """The text of the message it refers to, or ""."""
    system: str
    tools: int
    """Tokens of tool declarations; 0: none are declared."""

    @property
    def content(self) -> str:
        """The turn as an application sends it: passages, then the question."""
        passages = "".join(f"<document>\n{passage}\n</document>\n" for passage in self.documents)
        return f"{passages}\n{self.text}" if passages else self.text


class _Earlier(Struct, frozen=True):
    """A question that may be asked again."""

    subject: Subject
    wording: int
    user: str


class Population:
    """All shoppers of one mix.

    Args:
        mix: what they ask.
        shop: what they ask about.
        seed: who they are.
    """

    def __init__(self, mix: Mix, shop: Shop | None = None, seed: int = 7) -> None:
        self.mix = mix
        self.shop = shop if shop is not None else Shop()
        self.seed = seed
        self.names = list(mix.intents)
        self.subjects = Subjects(self.shop, seed)

    def messages(self, count: int, days: float = 1.0, first_day: int = 0) -> list[Message]:
        """`count` messages over `days` from `first_day` on, by time."""
        run = _Run(self, count, days, first_day)
        return run.messages()

    def ask(self, intent: str, subject: Subject, language: str, wording: int, day: int) -> Asked:
        """The question of a subject as it is put on a day."""
        asked_for = self.mix.intents[intent]
        tokens = asked_for.tokens
        wanted = Wanted(
            language=language,
            wording=wording,
            day=day,
            intent=intent,
            kind=asked_for.kind,
            difficulty=asked_for.difficulty,
            documents=round(tokens.documents * self.mix.documents_scale),
            question=tokens.question,
            answer=round(
                Draws("answer", self.seed, subject, language, wording).lognormal(tokens.answer.p50, tokens.answer.p95)
            ),
        )
        return MAKERS[str(subject[0])](self.shop, subject, wanted)


class _Run:
    """One pass over the traffic of some days."""

    def __init__(self, population: Population, count: int, days: float, first_day: int) -> None:
        if count < 1 or days <= 0:
            raise ValueError(f"{count} messages over {days} days: both must be above 0")
        self.population = population
        self.mix = population.mix
        self.count = count
        self.days = days
        self.first_day = first_day
        self._draws = Draws("shoppers", population.seed, first_day)
        self._pool: dict[tuple[str, str], list[_Earlier]] = {}
        self._languages = list(self.mix.traffic.languages.items())

    def messages(self) -> list[Message]:
        sent: list[Message] = []
        edges, sums = self._rates()
        per_session = self._per_session()
        total, spread = sums[-1], self.mix.traffic.burstiness
        at, session = 0.0, 0
        while len(sent) < self.count:
            # What is left of the time is shared by what is left of the messages, so that both end together.
            mean = max(1e-9, (total - at) / (self.count - len(sent)) * per_session)
            at = min(total, at + (self._draws.bursty(mean, spread) if spread > 1 else self._draws.exponential(mean)))
            session += 1
            sent += self._session(session, _moment(at, edges, sums), len(sent))
        sent = sorted(sent[: self.count], key=lambda message: (message.at, message.number))
        place = {message.number: index for index, message in enumerate(sent)}
        return [_renumbered(message, place) for message in sent]

    # -- when ----------------------------------------------------------------------------------------------------

    def _rates(self) -> tuple[list[float], list[float]]:
        """Moments and the traffic up to each, relative."""
        steps = max(1, math.ceil(self.days * DAY / _STEP))
        grain = self.days * DAY / steps
        start = self.first_day * DAY
        edges, sums = [start], [0.0]
        for step in range(steps):
            middle = start + (step + 0.5) * grain
            rate = self.mix.traffic.day_profile[int(middle % DAY // 3600)]
            release = self._release(middle)
            rate *= release.factor if release is not None else 1.0
            edges.append(edges[-1] + grain)
            sums.append(sums[-1] + rate * grain)
        return edges, sums

    def _release(self, at: float) -> Release | None:
        for release in self.mix.traffic.releases:
            begin = release.day * DAY + release.hour * 3600
            if begin <= at < begin + release.minutes * 60:
                return release
        return None

    def _per_session(self) -> float:
        weights = [intent.share / (1 + intent.follow_up) for intent in self.mix.intents.values()]
        turns = sum(intent.share for intent in self.mix.intents.values()) / sum(weights)
        return turns / (1 - self.mix.traffic.sessions.more)

    def _weights(self, at: float) -> list[float]:
        """Chance of each intent to be asked first, at a moment."""
        drift = self.mix.traffic.drift
        weights = []
        for name, intent in self.mix.intents.items():
            phase = number("phase", self.population.seed, name)
            swing = 1 + drift.amplitude * math.sin(2 * math.pi * (at / DAY / drift.period_days + phase))
            weight = intent.share / (1 + intent.follow_up) * swing
            for campaign in self.mix.traffic.campaigns:
                begin = campaign.day * DAY + campaign.hour * 3600
                if campaign.intent == name and begin <= at < begin + campaign.hours * 3600:
                    weight *= campaign.factor
            weights.append(weight)
        return weights

    # -- what ----------------------------------------------------------------------------------------------------

    def _session(self, session: int, at: float, first: int) -> list[Message]:
        draws = self._draws
        language = self._languages[draws.weighted([share for _, share in self._languages])][0]
        user = f"u{session}"
        turns: list[Message] = []
        while True:
            release = self._release(at)
            flock = release is not None and draws.random() < (release.factor - 1) / release.factor
            name, pinned = self._flocked(release) if flock and release is not None else (None, None)
            if name is None:
                name = self.population.names[draws.weighted(self._weights(at))]
            intent = self.mix.intents[name]
            how, asked, user = self._choose(name, intent, language, at, user, pinned)
            turns.append(self._message(first + len(turns), at, session, user, language, name, how, asked, turns, ""))
            if draws.random() < intent.follow_up:
                at += self._gap()
                more = self._follow(name, asked, language, at)
                if more is not None:
                    before = turns[-1].text
                    turns.append(
                        self._message(
                            first + len(turns), at, session, user, language, name, "follow_up", more, turns, before
                        )
                    )
            if draws.random() >= self.mix.traffic.sessions.more:
                return turns
            at += self._gap()

    def _gap(self) -> float:
        return self._draws.lognormal(self.mix.traffic.sessions.gap_s, 4 * self.mix.traffic.sessions.gap_s)

    def _flocked(self, release: Release | None) -> tuple[str | None, Subject | None]:
        """What everybody asks about on a release day."""
        names = [name for name in self.population.names if self.mix.intents[name].asks in ("release_date", "stock")]
        if not names or release is None:
            return None, None
        name = self._draws.choice(names)
        return name, self.population.subjects.released(self.mix.intents[name].asks, release.day)

    def _choose(
        self, name: str, intent: Intent, language: str, at: float, user: str, pinned: Subject | None
    ) -> tuple[How, tuple[Subject, Asked], str]:
        draws = self._draws
        day = int(at // DAY)
        pool = self._pool.setdefault((name, language), [])
        chance = draws.random()
        how: How = "new"
        wording = draws.below(1 << 20)
        if pinned is not None:
            subject = pinned
            same = [each for each in pool[-200:] if each.subject == pinned]
            if same and chance < 0.4:
                how, wording = "repeat", draws.choice(same).wording
            elif same:
                how = "rephrase"
        elif pool and chance < intent.repeat + intent.rephrase:
            earlier = pool[-1 - draws.popular(len(pool))]
            subject = earlier.subject
            if intent.asks == "order_status":
                user = earlier.user
            if chance < intent.repeat:
                how, wording = "repeat", earlier.wording
            else:
                how, wording = "rephrase", earlier.wording + 1 + draws.below(3)
        else:
            subject = self.population.subjects.draw(intent.asks, day, draws)
        asked = self.population.ask(name, subject, language, wording, day)
        pool.append(_Earlier(subject, wording, user))
        if len(pool) > _KEPT:
            del pool[: _KEPT // 10]
        return how, (subject, asked), user

    def _follow(
        self, name: str, before: tuple[Subject, Asked], language: str, at: float
    ) -> tuple[Subject, Asked] | None:
        subject = self.population.subjects.follow(before[0], self._draws)
        if subject is None:
            return None
        wording = self._draws.below(1 << 20)
        return subject, self.population.ask(name, subject, language, wording, int(at // DAY))

    def _message(
        self, number_: int, at: float, session: int, user: str, language: str, name: str, how: How,
        asked: tuple[Subject, Asked], turns: Sequence[Message], follows: str,
    ) -> Message:  # fmt: skip
        tokens = self.mix.intents[name].tokens
        return Message(
            number=number_,
            at=at,
            day=int(at // DAY),
            session=f"s{session}",
            user=user,
            language=language,
            intent=name,
            how=how,
            text=asked[1].text,
            item=asked[1].item,
            documents=asked[1].documents,
            earlier=tuple(turn.number for turn in turns),
            follows=follows,
            system=self.population.shop.system(tokens.system),
            tools=tokens.tools,
        )


def _moment(done: float, edges: list[float], sums: list[float]) -> float:
    """The moment by which this much of the traffic has come."""
    at = min(max(1, bisect.bisect_right(sums, done)), len(sums) - 1)
    width = sums[at] - sums[at - 1]
    part = (done - sums[at - 1]) / width if width else 0.0
    return edges[at - 1] + part * (edges[at] - edges[at - 1])


def _renumbered(message: Message, place: dict[int, int]) -> Message:
    fields = {name: getattr(message, name) for name in Message.__struct_fields__}
    fields["number"] = place[message.number]
    fields["earlier"] = tuple(place[number_] for number_ in message.earlier if number_ in place)
    return Message(**fields)
