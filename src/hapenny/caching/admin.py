"""What an operator or an application may ask of the caches: statistics, explanations, invalidation, feedback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from hapenny.caching.ahead import Ahead
from hapenny.caching.edge import Edge
from hapenny.caching.exact import Answers, Stored
from hapenny.caching.roi import Returns
from hapenny.caching.semantic.cache import SemanticCache
from hapenny.caching.store import Entry, Purged, Selector


class Invalidation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which answers go; everything given must match, nothing given means all of the tenant's."""

    key: str | None = None
    """The key as `Cache-Status` shows it: its first 16 hex digits."""
    tag: str | None = None
    """For example `route:default`, `model:…`, `doc:…`."""
    epoch: str | None = None
    older_than_s: float | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.key is not None and len(self.key) < 16:
            raise ValueError("key: give the 16 hex digits that Cache-Status shows")


class CacheAdmin:
    """The caches of a deployment, seen from outside. A tenant only ever reaches its own entries."""

    def __init__(
        self,
        answers: Answers,
        semantic: SemanticCache | None = None,
        paraphrases: Answers | None = None,
        returns: Returns | None = None,
        edge: Edge | None = None,
        ahead: Ahead | None = None,
        withdraw: Callable[[Entry[Stored]], object] = lambda entry: None,
    ) -> None:
        """`paraphrases`: the semantic layer's store; `returns`: what the layers earn; `edge`: published answers;
        `ahead`: what is answered ahead; `withdraw` takes the published form of a stored answer back."""
        self._withdraw = withdraw
        self._edge = edge
        self._ahead = ahead
        self._returns = returns
        self._layers = {"exact": answers} | ({"semantic": paraphrases} if paraphrases is not None else {})
        self._semantic = semantic

    def stats(self) -> dict[str, Any]:
        """Counters of every layer, and where each route's semantic cache stands."""
        out: dict[str, Any] = {name: msgspec.to_builtins(store.stats()) for name, store in self._layers.items()}
        if self._semantic is not None:
            out["routes"] = msgspec.to_builtins(self._semantic.stats())
            out["judging"] = self._semantic.judging()
        if self._ahead is not None:
            out["precompute"] = msgspec.to_builtins(self._ahead.stats())
        if self._returns is not None:
            out["returns"] = [{**msgspec.to_builtins(each), "net": each.net} for each in self._returns.books()]
        return out

    def explain(self, key: str, tenant: str, now: float) -> list[dict[str, Any]]:
        """The tenant's entries whose key starts with `key` (hex): age, lifetime, hits, size, tags; never their text."""
        return [
            {
                "layer": name, "key": entry.key.hex()[:16], "age_s": entry.age(now), "fresh": entry.fresh(now),
                "expires_in_s": entry.expires - now, "hits": entry.hits, "bytes": entry.size, "tags": list(entry.tags),
                "model": entry.value.model,
            }
            for name, store in self._layers.items()
            for entry in store
            if entry.tenant == tenant and entry.key.hex().startswith(key.lower())
        ]  # fmt: skip

    def invalidate(self, which: Invalidation, tenant: str) -> dict[str, dict[str, Any]]:
        """Removes the tenant's entries that are meant, in every layer; counts by layer."""
        out: dict[str, dict[str, Any]] = {}
        tag = f"epoch:{which.epoch}" if which.epoch is not None and which.tag is None else which.tag
        if self._edge is not None and which.key is None:
            # An epoch is the route's: what was published under it is everybody's.
            whose = None if which.epoch is not None and which.tag is None else tenant
            gone_there = self._edge.purge(
                Selector(tag=tag, tenant=whose, older_than=which.older_than_s), dry_run=which.dry_run
            )
            out["edge"] = {"entries": gone_there, "bytes": 0, "dry_run": which.dry_run}
        for name, store in self._layers.items():
            keys: list[bytes | None] = [None]
            if which.key is not None:
                keys = [e.key for e in store if e.tenant == tenant and e.key.hex().startswith(which.key.lower())]
            meant = [Selector(key=key, tag=tag, tenant=tenant, older_than=which.older_than_s) for key in keys]
            if not which.dry_run:
                for entry in [entry for each in meant for entry in store.find(each)]:
                    self._withdraw(entry)
            gone = [store.purge(each, dry_run=which.dry_run) for each in meant]
            total = Purged(sum(p.entries for p in gone), sum(p.bytes for p in gone), which.dry_run)
            out[name] = msgspec.to_builtins(total)
        return out

    async def warm(self, tenant: str, most: int) -> int | None:
        """Answers the tenant's most asked questions again that are not stored; how many, None where that is off."""
        return await self._ahead.renew(tenant, most) if self._ahead is not None else None

    def feedback(self, request_id: str, tenant: str | None = None) -> bool:
        """A semantic hit was reported wrong by its tenant; False if the request is not known as one of its hits."""
        return self._semantic is not None and self._semantic.feedback(request_id, tenant, self._withdraw)
