"""How long answers get, learned by intent: a `max_tokens` that frees quota and that no client ever sees."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque

import msgspec

POOL = "*"


class SizeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and how tightly a limit is set.

    `quantile`: of past answers of the intent, `margin`: factor on it, `least`: answers needed before an intent has a
    limit of its own (the pool's, with twice the margin, holds until then), `floor`: tokens below which no limit goes.
    """

    quantile: float = 0.99
    margin: float = 1.25
    least: int = 40
    floor: int = 64
    window: int = 1000
    """Answers that are remembered of each intent."""

    def __post_init__(self) -> None:
        if not 0.5 <= self.quantile <= 1 or self.margin < 1 or self.least < 10 or self.floor < 1:
            raise ValueError("quantile in [.5, 1], margin at least 1, least at least 10, floor at least 1")


class _Seen:
    """The last answers of one intent, sorted."""

    __slots__ = ("order", "ranked")

    def __init__(self, window: int) -> None:
        self.order: deque[int] = deque(maxlen=window)
        self.ranked: list[int] = []

    def add(self, tokens: int) -> None:
        if len(self.order) == self.order.maxlen:
            del self.ranked[bisect_left(self.ranked, self.order[0])]
        self.order.append(tokens)
        insort(self.ranked, tokens)

    def quantile(self, share: float) -> int:
        return self.ranked[min(len(self.ranked) - 1, int(share * len(self.ranked)))]


class AnswerSizes:
    """Learned answer lengths; bounded in intents and in answers each."""

    def __init__(self, options: SizeOptions | None = None, capacity: int = 2000) -> None:
        self.options = options or SizeOptions()
        self._capacity = capacity
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def learn(self, intent: str, tokens: int) -> None:
        """Take the length of a whole answer (never of one that a limit cut)."""
        if tokens < 1:
            return
        for key in (intent, POOL):
            seen = self._seen.get(key)
            if seen is None:
                seen = self._seen[key] = _Seen(self.options.window)
                while len(self._seen) > self._capacity:
                    self._seen.popitem(last=False)
            self._seen.move_to_end(key)
            seen.add(tokens)

    def limit(self, intent: str) -> int | None:
        """Tokens an answer of this intent may take; None while too little is known."""
        options = self.options
        for key, margin in ((intent, options.margin), (POOL, 2 * options.margin)):
            seen = self._seen.get(key)
            if seen is not None and len(seen.ranked) >= options.least:
                return max(options.floor, int(seen.quantile(options.quantile) * margin) + 1)
        return None

    def typical(self, intent: str) -> int | None:
        """Tokens that half of the answers of this intent (else of all) stay within; None while too little is known."""
        for key in (intent, POOL):
            seen = self._seen.get(key)
            if seen is not None and len(seen.ranked) >= self.options.least:
                return seen.quantile(0.5)
        return None

    def dumps(self) -> bytes:
        """What was learned, as MessagePack."""
        return msgspec.msgpack.encode({intent: list(seen.order) for intent, seen in self._seen.items()})

    def loads(self, data: bytes) -> None:
        """Take over a dump. Raises msgspec.ValidationError if it is none."""
        for intent, lengths in msgspec.msgpack.decode(data, type=dict[str, list[int]]).items():
            seen = self._seen[intent] = _Seen(self.options.window)
            for tokens in lengths:
                seen.add(tokens)
