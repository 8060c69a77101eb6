"""What gateways learn together, kept in an OpenSearch index: all of it as long as it lives, not the last of it alone.

One document a message, as `SharedSemantic` seals it, with when it was sent and when it ends. A gateway that comes later
reads every message that still lives; then each reads what is new once a second (a document is found a second after it
was written, by OpenSearch's own refresh). Messages are read in the order of their time and name; clocks of gateways may
differ by `OVERLAP_S`, since so far back is read again, and what is known already is passed over. Each gateway searches
its own index in memory, so hits and bound are those of one process.

Requests and answers are those of OpenSearch's documentation (index, document, search and delete-by-query APIs of 2.x
and 3.x); tests hold them against a server of our own that follows it, not against OpenSearch.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from hapenny.backends.pool import CONTROL_CONNECTIONS, Pool
from hapenny.backends.url import address
from hapenny.core.clock import Clock, within
from hapenny.core.errors import Failure
from hapenny.stores.space import PAGE, Heard, Message

DEADLINE_S = 2.0
LOOK_S = 1.0
"""Seconds between two looks for what is new."""
OVERLAP_S = 60.0
SWEEP_S = 3_600.0
"""Seconds between two deletions of what has ended."""
MOST_KNOWN = 100_000
"""Names of messages that were read, and are passed over."""
MAPPING = {
    "settings": {"index": {"number_of_shards": 1}},
    "mappings": {
        "dynamic": "strict",
        "properties": {
            "channel": {"type": "keyword"},
            "name": {"type": "keyword"},
            "at": {"type": "double"},
            "ends": {"type": "double"},
            "data": {"type": "binary"},
        },
    },
}


class OpenSearchChannel:
    """The channels of a space, in an index; see the module.

    Args:
        url: `https://USER:PASSWORD@HOST:9200/INDEX`; letters that mean something in a URL are written as `%XX`.
        clock: the deployment's.
        life_s: how long a message is kept.

    Raises:
        ValueError: the URL names no index.
    """

    def __init__(self, url: str, clock: Clock, life_s: float) -> None:
        place = urlsplit(url)
        index = place.path.strip("/")
        if place.scheme not in ("http", "https") or not place.hostname or not index or "/" in index:
            raise ValueError("no index of OpenSearch: use https://USER:PASSWORD@HOST:9200/INDEX")
        host = place.netloc.rpartition("@")[2]
        self._base = urlunsplit((place.scheme, host, f"/{index}", "", ""))
        self._headers = {"content-type": "application/json"}
        if place.username:
            pair = f"{unquote(place.username)}:{unquote(place.password or '')}".encode()
            self._headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        self._pool = Pool(clock, connections=CONTROL_CONNECTIONS, name="opensearch")
        self._clock = clock
        self._life_s = life_s
        self._made = False
        self._known: OrderedDict[str, None] = OrderedDict()
        self._look_at = self._sweep_at = 0.0

    async def tell(self, data: bytes, channel: str) -> float:
        """Sends a message to everybody who follows the channel; when that was. Raises `ConnectionError`."""
        await self._make()
        now = self._clock.wall()
        name = self._clock.new_id()
        document = {
            "channel": channel, "name": name, "at": now, "ends": now + self._life_s,
            "data": base64.b64encode(data).decode(),
        }  # fmt: skip
        await self._ask("PUT", f"/_doc/{name}", document, (200, 201))
        return now

    async def heard(self, after: str, channel: str) -> Heard:
        """Messages of a channel behind the one whose id is `after`, oldest first. Raises `ConnectionError`."""
        now = self._clock.now()
        if after and now < self._look_at:
            return Heard([], 0.0, False)
        await self._make()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_S
            over = {"query": {"range": {"ends": {"lte": self._clock.wall()}}}}
            await self._ask("POST", "/_delete_by_query?conflicts=proceed&wait_for_completion=false", over, (200,))
        messages = await self._behind(after, channel)
        if not messages:
            self._look_at = now + LOOK_S
        return Heard(messages, 0.0, False)

    async def aclose(self) -> None:
        """Closes the connections. Idempotent."""
        await self._pool.aclose()

    # ----------------------------------------------------------------------------------------------------------------

    async def _behind(self, after: str, channel: str) -> list[Message]:
        """New messages: all pages from a while before `after` until one has something that is not known."""
        since = float(after.partition(":")[0]) - OVERLAP_S if after else 0.0
        behind: list[Any] = []
        while True:
            lives = [
                {"term": {"channel": channel}},
                {"range": {"at": {"gte": since}}},
                {"range": {"ends": {"gt": self._clock.wall()}}},
            ]
            query: dict[str, Any] = {
                "size": PAGE, "query": {"bool": {"filter": lives}}, "sort": [{"at": "asc"}, {"name": "asc"}],
            }  # fmt: skip
            if behind:
                query["search_after"] = behind
            body = await self._ask("POST", "/_search", query, (200,))
            hits = body["hits"]["hits"]
            messages = [self._message(hit["_source"]) for hit in hits if hit["_source"]["name"] not in self._known]
            for hit in hits:
                self._known[hit["_source"]["name"]] = None
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
            if messages or len(hits) < PAGE:
                return messages
            behind = hits[-1]["sort"]

    def _message(self, source: dict[str, Any]) -> Message:
        at = float(source["at"])
        return Message(f"{at!r}:{source['name']}", at, base64.b64decode(source["data"]))

    async def _make(self) -> None:
        if not self._made:
            await self._ask("PUT", "", MAPPING, (200, 400))  # 400: it is there (resource_already_exists_exception)
            self._made = True

    async def _ask(self, method: str, path: str, body: Any, good: tuple[int, ...]) -> Any:
        try:
            with within(DEADLINE_S):
                lease = await self._pool.send(
                    method, address(self._base + path), self._headers, msgspec.json.encode(body)
                )
                whole = await lease.whole()
                read = msgspec.json.decode(whole)
        except (Failure, TimeoutError, OSError, msgspec.DecodeError) as error:
            raise ConnectionError(f"OpenSearch cannot be used: {type(error).__name__}") from error
        if lease.status not in good:
            raise ConnectionError(f"OpenSearch answers {lease.status}")
        if lease.status == 400 and read.get("error", {}).get("type") != "resource_already_exists_exception":
            raise ConnectionError("OpenSearch does not take the index")
        return read
