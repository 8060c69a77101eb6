"""What gateways learn together: stored questions with vectors and answers, which of them are the same, and labels.

Each gateway keeps the whole memory in its own process and searches its own index. What one of them learns it tells the
others over a channel of the shared space, and takes in what they tell: questions, vectors, answers, groups of questions
with one answer, and the labels from which thresholds and bounds are computed. So all of them hit the same and answer
for the same bound, with a delay of `NEWS_S`; what was spent of the promise each books for its own requests. A gateway
that comes later reads the last 10,000 messages first. Labels count only under the versions under which they were
learnt, and vectors only of the same embedder; answers that were withdrawn since are not taken in.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict, deque
from typing import Protocol

import msgspec
import numpy as np
from msgspec import Struct

from hapenny.caching.answer_codec import decoded, encoded
from hapenny.caching.semantic.cache import Kept, Lookup, SemanticCache
from hapenny.caching.semantic.decider import Action, Looked
from hapenny.caching.semantic.features import Candidate
from hapenny.caching.semantic.terms import Terms
from hapenny.caching.shared import NEWS_S, SharedAnswers
from hapenny.core.clock import Clock
from hapenny.core.log import get_logger
from hapenny.stores.space import Heard

CHANNEL = "semantic"
MOST_WAITING = 10_000
MOST_NAMES = 200_000

_log = get_logger("hapenny.caching")


class _Label(Struct, array_like=True):
    route: str
    versions: tuple[str, ...]
    features: bytes
    differing: tuple[str, ...]
    wrong: bool
    action: Action
    error: float
    entry: str = ""
    reported: bool = False


class _Told(Struct, array_like=True):
    """One message."""

    by: str
    embedder: str
    id: str = ""
    space: bytes = b""
    terms: Terms | None = None
    vector: bytes = b""
    answer: bytes = b""
    beside: str = ""
    label: _Label | None = None
    gone: str = ""


_EMPTY = Terms((), frozenset(), frozenset(), False)


class Channel(Protocol):
    """Where messages go: the shared space's own channels, or those of an OpenSearch index. Both raise
    `ConnectionError`."""

    async def tell(self, data: bytes, channel: str) -> float:
        """Sends a message to everybody who follows the channel; when that was."""
        ...

    async def heard(self, after: str, channel: str) -> Heard:
        """Messages of a channel behind the one whose id is `after`, oldest first."""
        ...


class SharedSemantic:
    """See the module.

    Args:
        elsewhere: the space, its seal and its withdrawals.
        cache: this gateway's.
        clock: the deployment's clock.
        where: the channel, where it is not the space's.
    """

    def __init__(
        self, elsewhere: SharedAnswers, cache: SemanticCache, clock: Clock, where: Channel | None = None
    ) -> None:
        self._elsewhere = elsewhere
        self._channel: Channel = where if where is not None else elsewhere.space
        self._cache = cache
        self._clock = clock
        self._me = clock.new_id()
        self._after = ""
        self._names: OrderedDict[int, str] = OrderedDict()
        self._numbers: dict[str, int] = {}
        self._out: deque[_Told] = deque(maxlen=MOST_WAITING)
        self._labels: deque[_Label] = deque(maxlen=MOST_WAITING)
        self.taken = 0
        """Entries of others."""
        self.labels = 0
        """Labels of others."""

    # -- what was learnt here --------------------------------------------------------------------------------------

    def learnt(self, lookup: Lookup, entry: int, kept: Kept, beside: int | None, wrong: bool | None) -> None:
        answer = encoded(kept.stored, kept.size, kept.ttl, 0.0, kept.tags)
        if answer is None:
            return
        name = f"{self._me}.{entry}"
        self._name(entry, name)
        label = self._label(lookup.route, lookup.looked, wrong) if wrong is not None else None
        self._out.append(
            _Told(
                self._me, self._cache.embedder, name, lookup.space, lookup.terms,
                np.asarray(lookup.vector, "<f4").tobytes(), answer,
                self._names.get(beside, "") if beside is not None else "", label,
            )
        )  # fmt: skip

    def labelled(self, route: str, looked: Looked, wrong: bool) -> None:
        label = self._label(route, looked, wrong)
        if label is not None:
            label.reported = True
            self._out.append(_Told(self._me, self._cache.embedder, label=label))

    def forgotten(self, entry: int) -> None:
        name = self._names.get(entry)
        if name is not None:
            self._out.append(_Told(self._me, self._cache.embedder, gone=name))

    def _label(self, route: str, looked: Looked, wrong: bool) -> _Label | None:
        nearest = looked.candidate
        if nearest is None:
            return None
        return _Label(
            route, self._cache.versions(route), np.asarray(nearest.features, "<f8").tobytes(),
            tuple(sorted(nearest.differing)), wrong, looked.action, looked.error, self._names.get(nearest.entry, ""),
        )  # fmt: skip

    # -- what others have learnt -----------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Tells and takes in as long as it is not cancelled."""
        while True:
            with contextlib.suppress(ConnectionError):  # what waits is told when the space is back
                await self.exchange()
            await self._clock.sleep(NEWS_S)

    async def exchange(self) -> None:
        """Tells what waits, and takes in what is new. Raises `ConnectionError`."""
        channel = self._channel
        while self._out:
            data = msgspec.msgpack.encode(self._out[0])
            await channel.tell(self._elsewhere.seal(CHANNEL.encode(), data), CHANNEL)
            self._out.popleft()
        while (heard := await channel.heard(self._after, CHANNEL)).messages:
            for message in heard.messages:
                self._after = message.id
                data_ = self._elsewhere.unseal(CHANNEL.encode(), message.data)
                if data_ is not None:
                    try:
                        self._take(msgspec.msgpack.decode(data_, type=_Told), message.at)
                    except (msgspec.MsgspecError, ValueError):
                        _log.warning("what another gateway has learnt is of another version, and left out")
            await self._clock.sleep(0)
        for _ in range(len(self._labels)):
            self._learn(self._labels.popleft())

    def _take(self, told: _Told, at: float) -> None:
        cache = self._cache
        if told.by == self._me or told.embedder != cache.embedder:
            return
        if told.gone:
            number = self._numbers.pop(told.gone, None)
            if number is not None:
                self._names.pop(number, None)
                cache.remove(number)
        if told.terms is not None and told.id not in self._numbers:
            self._adopt(told, told.terms, at)
        if told.label is not None:
            label = told.label
            number = self._numbers.get(label.entry)
            if number is not None and told.space and not label.reported:
                cache.judged(told.space, number, not label.wrong)
            self._labels.append(label)

    def _adopt(self, told: _Told, terms: Terms, at: float) -> None:
        read = decoded(told.answer)
        if read is None:
            return
        it, stored = read
        entry = it.entry(b"", stored, at)
        wall = self._clock.wall()
        if not entry.fresh(wall) or self._elsewhere.withdrawals.mean(entry, at):
            return
        vector = np.frombuffer(told.vector, "<f4").astype(np.float32)
        kept = Kept(stored, it.size, it.ttl, it.tags, min(at, wall))
        number = self._cache.adopt(told.space, terms, vector, kept, self._numbers.get(told.beside))
        if number is not None:
            self.taken += 1
            self._name(number, told.id)

    def _learn(self, label: _Label) -> None:
        """Counts a label, once the route has a decider that learns under the same versions."""
        decider = self._cache.learning(label.route, label.versions)
        if decider is None:
            if not self._cache.versions(label.route):
                self._labels.append(label)  # no request of the route came yet
            return
        features = np.frombuffer(label.features, "<f8").astype(float)
        candidate = Candidate(-1, -1, 0.0, _EMPTY, frozenset(label.differing), features)
        looked = Looked(label.action, [], candidate, error=label.error)
        self.labels += 1
        if label.reported:
            decider.report_wrong(looked)
        else:
            decider.take(looked, wrong=label.wrong)

    def _name(self, number: int, name: str) -> None:
        self._names[number], self._numbers[name] = name, number
        while len(self._names) > MOST_NAMES:
            _, old = self._names.popitem(last=False)
            self._numbers.pop(old, None)
