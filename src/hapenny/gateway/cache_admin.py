"""What an operator or an application may ask of the caches: statistics, explanations, invalidation, feedback."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from hapenny.caching.edge import Edge
from hapenny.caching.profit import LayerProfit
from hapenny.caching.shared import SharedAnswers
from hapenny.caching.store import Entry, Selector
from hapenny.caching.stored import RESULT, AnswerDedup, Answers, Stored
from hapenny.caching.withdrawals import Withdrawal
from hapenny.prefetch.planner import PrefetchPlanner

if TYPE_CHECKING:
    from hapenny.caching.semantic.cache import SemanticCache


class Invalidation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which answers go; everything given must match, nothing given means all of the tenant's."""

    key: str | None = None
    """The key as `Cache-Status` shows it, its first 16 hex digits, or fewer."""
    tag: str | None = None
    """For example `route:default`, `model:…`, `doc:…`, `collection:…`, `result:…`, or a caller's own."""
    epoch: str | None = None
    older_than_s: float | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.key is not None and not _hex(self.key):
            raise ValueError(f"key: {self.key[:64]!r} is no key; give hex digits as Cache-Status shows them")
        if self.tag == "" or self.epoch == "":
            raise ValueError("tag and epoch: empty means nothing; leave it out")
        if self.older_than_s is not None and self.older_than_s < 0:
            raise ValueError(f"older_than_s: {self.older_than_s}; use seconds, 0 or more")


class CacheAdmin:
    """The caches of a deployment, seen from outside. A tenant only ever reaches its own entries."""

    def __init__(
        self,
        answers: Answers,
        semantic: SemanticCache | None = None,
        paraphrases: Answers | None = None,
        profit: LayerProfit | None = None,
        edge: Edge | None = None,
        planner: PrefetchPlanner | None = None,
        dedup: AnswerDedup | None = None,
        watched: SemanticCache | None = None,
        elsewhere: SharedAnswers | None = None,
    ) -> None:
        """`paraphrases`: the semantic layer's store; `profit`: what the layers earn; `edge`: published answers;
        `planner`: what is answered ahead; `dedup`: answers by what they say;
        `watched`: the semantic layer of routes where it only watches; `elsewhere`: what other gateways have."""
        self._elsewhere = elsewhere
        self._watched = watched
        self._edge = edge
        self._planner = planner
        self._profit = profit
        self._dedup = dedup
        self._layers = {"exact": answers} | ({"semantic": paraphrases} if paraphrases is not None else {})
        self._semantic = semantic

    def stats(self) -> dict[str, Any]:
        """Counters of every layer, and where each route's semantic cache stands."""
        out: dict[str, Any] = {name: msgspec.to_builtins(store.stats()) for name, store in self._layers.items()}
        if self._edge is not None:
            out["edge"] = {"entries": len(self._edge)}
        if self._dedup is not None:
            out["results"] = self._dedup.stats()
        if self._semantic is not None:
            out["routes"] = msgspec.to_builtins(self._semantic.stats())
            out["judging"] = self._semantic.judging()
        if self._watched is not None:
            out["watched"] = msgspec.to_builtins(self._watched.stats())
        if self._elsewhere is not None:
            out["shared"] = self._elsewhere.stats()
        if self._planner is not None:
            out["precompute"] = msgspec.to_builtins(self._planner.stats())
        if self._profit is not None:
            out["returns"] = [{**msgspec.to_builtins(each), "net": each.net} for each in self._profit.books()]
        return out

    def explain(self, key: str, tenant: str, now: float) -> list[dict[str, Any]]:
        """The tenant's entries whose key starts with `key` (hex): age, lifetime, hits, size, tags; never their text.

        Raises:
            ValueError: `key` is none.
        """
        if key and not _hex(key):
            raise ValueError(f"{key[:64]!r} is no key; give hex digits as Cache-Status shows them")
        return [
            {
                "layer": name, "key": entry.key.hex()[:16], "age_s": entry.age(now), "fresh": entry.fresh(now),
                "expires_in_s": entry.expires - now, "hits": entry.hits, "bytes": entry.size, "tags": list(entry.tags),
                "model": entry.value.model, "evidence": [list(each) for each in entry.value.evidence],
            }
            for name, store in self._layers.items()
            for entry in store.select(Selector(prefix=key.lower() or None, tenant=tenant))
        ]  # fmt: skip

    async def tell(self, which: Invalidation, tenant: str) -> None:
        """Tells the other gateways what `invalidate` will remove here.

        Raises:
            ConnectionError: they cannot be told: then nothing was removed anywhere.
        """
        if self._elsewhere is not None and not which.dry_run:
            both = which.tag is not None
            await self._elsewhere.withdraw(
                Withdrawal(
                    tenant=tenant,
                    tag=which.tag if both else _epoch(which),
                    also=_epoch(which) if both else None,
                    prefix=which.key.lower() if which.key is not None else None,
                    older_than=which.older_than_s,
                )
            )

    def invalidate(
        self, which: Invalidation, tenant: str, may: Callable[[str], bool] | None = None
    ) -> dict[str, dict[str, Any]]:
        """Removes the tenant's entries that are meant, in every layer, and withdraws what of them was published; counts
        by layer. An epoch or a tag alone withdraws all that was published under it, of the routes that `may` allows
        (None: all)."""
        out, results = {}, set[str]()
        selector = Selector(
            prefix=which.key.lower() if which.key is not None else None,
            tag=which.tag if which.tag is not None else _epoch(which),
            also=_epoch(which) if which.tag is not None else None,
            tenant=tenant, older_than=which.older_than_s,
        )  # fmt: skip
        for name, store in self._layers.items():
            for entry in store.select(selector):
                results.update(tag for tag in entry.tags if tag.startswith(RESULT))
            out[name] = msgspec.to_builtins(store.purge(selector, dry_run=which.dry_run))
        if self._edge is not None:
            if which.key is None and which.older_than_s is None:
                results.update(tag for tag in (which.tag, _epoch(which)) if tag is not None)
            gone = self._edge.withdraw(*sorted(results), may=may, dry_run=which.dry_run)
            out["edge"] = {"entries": gone, "bytes": 0, "dry_run": which.dry_run}
        return out

    async def warm(self, tenant: str, most: int) -> int | None:
        """Answers the tenant's most asked questions again that are not stored; how many, None where that is off."""
        return await self._planner.renew(tenant, most) if self._planner is not None else None

    def resume(self, layer: str, route: str) -> int:
        """Lets a layer that was stopped for losing money try again at once; on how many routes it was."""
        return self._profit.resume(layer, route) if self._profit is not None else 0

    def feedback(self, request_id: str, tenant: str | None = None) -> bool:
        """A semantic hit was reported wrong by its tenant: its entry goes, and what of it was published. False if the
        request is not known as one of the tenant's hits."""
        return self._semantic is not None and self._semantic.feedback(request_id, tenant, self._withdraw)

    def _withdraw(self, entry: Entry[Stored]) -> None:
        if self._edge is not None:
            self._edge.withdraw(*[tag for tag in entry.tags if tag.startswith(RESULT)])


def _epoch(which: Invalidation) -> str | None:
    return f"epoch:{which.epoch}" if which.epoch is not None else None


def _hex(key: str) -> bool:
    return 0 < len(key) <= 64 and all(digit in "0123456789abcdefABCDEF" for digit in key)
