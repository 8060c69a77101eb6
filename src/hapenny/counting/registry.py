"""One estimator per (provider, model), bounded, serialisable, sharing one feature cache."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import msgspec

from hapenny.counting.base import o200k
from hapenny.counting.estimator import Estimate, Estimator, State
from hapenny.counting.features import Counter, FeatureCache


class SavedState(msgspec.Struct, kw_only=True):
    """The registry as it is stored: provider, model and state of each estimator that has learned."""

    version: int = 1
    estimators: list[tuple[str, str, State]]


class Estimators:
    """The estimators of all models in use.

    `base` is the vocabulary count shared by all (`None`: byte classes only); `capacity` bounds the models remembered,
    `segments` the cached feature vectors (about 400 bytes each).
    """

    def __init__(self, base: Counter | None = None, *, capacity: int = 256, segments: int = 8192) -> None:
        self.cache = FeatureCache(base, segments)
        self._capacity = capacity
        self._known: OrderedDict[tuple[str, str], Estimator] = OrderedDict()

    @classmethod
    def best(cls, *, capacity: int = 256, segments: int = 8192) -> Estimators:
        """With the o200k vocabulary if the `tokenizers` extra is installed, else without one."""
        return cls(o200k(), capacity=capacity, segments=segments)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, provider: str, model: str) -> Estimator:
        """The estimator of a model; a new one starts from what its provider's last used model has learned."""
        key = (provider, model)
        estimator = self._known.get(key)
        if estimator is None:
            estimator = Estimator(self.cache)
            kin = next((e for (p, _), e in reversed(self._known.items()) if p == provider and e.learned >= 50), None)
            if kin is not None:
                estimator.adopt(kin)
            self._known[key] = estimator
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return estimator

    def join(self, provider: str, model: str, family: str) -> Estimator:
        """The estimator of a model whose tokenizer others have too: one for all of `family`, taught by all.

        From then on `get(provider, model)` gives it too.
        """
        shared = self.get(provider, family)
        if self._known.get((provider, model)) is not shared:
            self._known[(provider, model)] = shared
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        return shared

    def count(self, provider: str, model: str, texts: str | Sequence[str]) -> Estimate:
        """The tokens of a text or of a request's segments for one model."""
        return self.get(provider, model).count(texts)

    def parts(self, provider: str, model: str, parts: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """The tokens of each prompt part (`system`, `tools`, `history`, `context`, `user`); sums to the request's."""
        estimator = self.get(provider, model)
        total = estimator.count([text for texts in parts.values() for text in texts]).tokens
        return share(total, {name: sum(estimator.tokens(text) for text in texts) for name, texts in parts.items()})

    def dumps(self) -> bytes:
        """All that was learned, as MessagePack."""
        rows = [(*key, estimator.state()) for key, estimator in self._known.items() if estimator.learned]
        return msgspec.msgpack.encode(SavedState(estimators=rows))

    def loads(self, data: bytes) -> int:
        """Take over a dump; returns how many estimators fit (same features, same kind of base).

        Raises msgspec.ValidationError if the bytes are no dump.
        """
        taken = 0
        for provider, model, state in msgspec.msgpack.decode(data, type=SavedState).estimators:
            taken += self.get(provider, model).restore(state)
        return taken


def share(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Split an integer in proportion to weights so that the shares sum to it (largest remainder)."""
    whole = sum(weights.values())
    if not weights or whole <= 0:
        return dict.fromkeys(weights, 0)
    exact = {name: total * weight / whole for name, weight in weights.items()}
    shares = {name: int(value) for name, value in exact.items()}
    left = total - sum(shares.values())
    for name in sorted(exact, key=lambda name: shares[name] - exact[name])[:left]:
        shares[name] += 1
    return shares
