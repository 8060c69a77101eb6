"""HTTP cache semantics for a CDN: `GET /v1/answers/{fingerprint}` for shared, verified answers; all else stays private.

A published answer has a strong ETag and may be kept by shared caches (RFC 9111 `s-maxage`, RFC 5861
`stale-while-revalidate`); its URL carries the knowledge epoch, so a new epoch is a new URL and a purge is one counter.
Pure: requests and answers are plain values, the server writes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from msgspec import Struct

from hapenny.caching.options import EdgeOptions
from hapenny.caching.store import Selector, Store
from hapenny.core.clock import Clock

EVIDENCE = "evidence"
"""Tag of answers that rest on documents."""
ROUTE = "route:"
"""How the tag of an answer begins that names the route it was published by."""
PRIVATE = {"cache-control": "private, no-store"}
"""Headers of every answer that is not a published one."""


class Published(Struct, frozen=True):
    """An answer anyone may read: no tenant's data, verified, without text of the question."""

    body: bytes
    media_type: str
    etag: str
    epoch: str


class Page(Struct, frozen=True):
    """What the server sends."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


class Edge:
    """Published answers by fingerprint, bounded in bytes."""

    def __init__(
        self,
        clock: Clock,
        *,
        capacity: int = 64_000_000,
        shared: float = 300.0,
        stale: float = 60.0,
        ttl: float = 3_600.0,
    ) -> None:
        """`shared`: seconds a CDN may keep an answer; `stale`: seconds after that it may serve while it revalidates;
        `ttl`: seconds we keep it where nothing else is said."""
        self._clock = clock
        self._shared, self._stale, self._ttl = int(shared), int(stale), ttl
        self.answers: Store[Published] = Store(clock, capacity)

    def settle(self, options: EdgeOptions) -> Edge:
        """Takes over what the operator says; what is published stays."""
        self._shared, self._stale = int(options.shared_s), int(options.stale_s)
        self.answers.resize(int(options.max_mb * 1_000_000))
        return self

    def publish(
        self, fingerprint: bytes, body: bytes, *, scope: str, verified: bool, media_type: str = "application/json",
        epoch: str = "", ttl: float | None = None, tags: Sequence[str] = (),
    ) -> bool:  # fmt: skip
        """Publishes an answer for `ttl` seconds; refused unless it is declared `shared` and was verified. `tags`: what
        else it can be withdrawn by."""
        if scope != "shared" or not verified:
            return False
        etag = '"' + hashlib.blake2b(body, digest_size=16).hexdigest() + '"'
        page = Published(body, media_type, etag, epoch)
        life = self._ttl if ttl is None else ttl
        return self.answers.put(fingerprint, page, len(body), life, (f"epoch:{epoch}", *tags)) is not None

    def get(self, fingerprint: str, if_none_match: str = "", *, head: bool = False) -> Page:
        """The page at `/v1/answers/{fingerprint}` (hex): 200, 304 or 404. A 404 may be kept for a second only."""
        try:
            key = bytes.fromhex(fingerprint)
        except ValueError:
            key = b""
        entry = self.answers.get(key)
        if entry is None or not entry.fresh(self._clock.wall()):
            return Page(404, {"cache-control": "public, max-age=0, s-maxage=1"})
        page = entry.value
        left = int(entry.expires - self._clock.wall())
        shared = min(self._shared, left)
        headers = {
            "cache-control": f"public, max-age=0, s-maxage={shared}, stale-while-revalidate={self._stale}",
            "etag": page.etag,
            "surrogate-key": f"epoch-{page.epoch or 'none'}",
            "vary": "accept-encoding",
        }
        if if_none_match and (if_none_match.strip() == "*" or page.etag in _tags(if_none_match)):
            return Page(304, headers)
        headers["content-type"] = page.media_type
        headers["content-length"] = str(len(page.body))
        return Page(200, headers, b"" if head else page.body)

    def now(self) -> float:
        """Epoch seconds, as answers expire by."""
        return self._clock.wall()

    def holds(self, fingerprint: bytes) -> bool:
        """Whether an answer is published."""
        entry = self.answers.peek(fingerprint)
        return entry is not None and entry.fresh(self._clock.wall())

    def purge(self, epoch: str, *, dry_run: bool = False) -> int:
        """Withdraws every answer of a knowledge epoch; the CDN follows by surrogate key or within `shared` + `stale`
        seconds."""
        return self.answers.purge(Selector(tag=f"epoch:{epoch}"), dry_run=dry_run).entries

    def withdraw(
        self, *tags: str, keep: str = "", may: Callable[[str], bool] | None = None, dry_run: bool = False
    ) -> int:
        """Withdraws every answer with one of the tags, but those that also have the tag `keep`; how many.

        `may`: says of a route's name whether its answers are within reach; None: all are."""
        gone = [
            entry for entry in self.answers
            if keep not in entry.tags and any(tag in entry.tags for tag in tags)
            and (may is None or _reaches(may, entry.tags))
        ] if tags else []  # fmt: skip
        if not dry_run:
            for entry in gone:
                self.answers.delete(entry.key)
        return len(gone)

    def __len__(self) -> int:
        return len(self.answers)


def _reaches(may: Callable[[str], bool], tags: Sequence[str]) -> bool:
    return all(may(tag.removeprefix(ROUTE)) for tag in tags if tag.startswith(ROUTE))


def _tags(header: str) -> list[str]:
    """The entity tags of an If-None-Match; weak ones match as well (RFC 9110 §13.1.2)."""
    return [tag.strip().removeprefix("W/") for tag in header.split(",")]
