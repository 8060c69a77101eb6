"""The shop in one DynamoDB table: products, orders, sessions, tickets. By boto3, in threads; `[dynamodb]` installs it.

One table, keys `pk` and `sk`: `SERIES#id`/`META` and `SERIES#id`/`V#003`, `ORDER#id`/`META`, `CUSTOMER#name`/
`ORDER#id`, `SESSION#id`/`META` (with the time to live `expires`), `TICKETS`/`COUNT` and `TICKETS`/`0000001`. Single
things are read by key; the catalogue is read as a whole when the shop is opened and looked through in memory, with
prices and stock as they were `fresh_s` ago at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

from mangaassist import data_files
from mangaassist.catalogue import Order, Series, Volume
from mangaassist.finding import Finding, fits
from mangaassist.recognise import Titles
from mangaassist.shop import Wish

T = TypeVar("T")
_SESSION_S = 86_400
"""How long a session is kept."""


class DynamoShop:
    """A shop in a table.

    Args:
        table: a boto3 DynamoDB `Table`.
        today: the shop's day.
        now: seconds since the epoch.
        fresh_s: how old prices and stock may be where the catalogue is searched.
    """

    def __init__(self, table: Any, today: date, now: Callable[[], float], fresh_s: float = 60.0) -> None:
        self._table, self._today, self._now, self._fresh_s = table, today, now, fresh_s
        self.titles = Titles([])
        self._volumes: dict[str, list[Volume]] = {}
        self._read_at = float("-inf")
        self._finding = Finding(self)

    # -- the table -----------------------------------------------------------------------------------------------

    @staticmethod
    def create(resource: Any, name: str) -> Any:
        """Makes the table, and waits until it is there."""
        table = resource.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )  # fmt: skip
        table.wait_until_exists()
        return table

    async def fill(self, volumes: Iterable[Volume] | None = None) -> None:
        """Writes the shop's data into the table."""
        chosen = list(volumes if volumes is not None else data_files.volumes())

        def write() -> None:
            known: set[str] = set()
            with self._table.batch_writer(overwrite_by_pkeys=["pk", "sk"]) as batch:
                for volume in chosen:
                    if volume.series.id not in known:
                        known.add(volume.series.id)
                        batch.put_item(Item=_of_series(volume.series))
                    batch.put_item(Item=_of_volume(volume))
                for order in data_files.orders(self._today):
                    item = _of_order(order)
                    batch.put_item(Item={"pk": f"ORDER#{order.id}", "sk": "META", **item})
                    batch.put_item(Item={"pk": f"CUSTOMER#{order.customer}", "sk": f"ORDER#{order.id}"})

        await asyncio.to_thread(write)

    async def open(self) -> None:
        """Reads the catalogue."""
        items = await asyncio.to_thread(self._scan)
        series = {item["pk"]: _series(item) for item in items if item["sk"] == "META"}
        volumes: dict[str, list[Volume]] = {each.id: [] for each in series.values()}
        for item in sorted((item for item in items if item["sk"] != "META"), key=lambda item: str(item["sk"])):
            owner = series.get(item["pk"])
            if owner is not None:
                volumes[owner.id].append(_volume(item, owner))
        self._volumes, self._read_at = volumes, self._now()
        self.titles = Titles((name, each.id) for each in series.values() for name in each.titles.values())

    def _scan(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        start: dict[str, Any] = {}
        while True:
            page = self._table.scan(
                FilterExpression="begins_with(pk, :series)", ExpressionAttributeValues={":series": "SERIES#"}, **start
            )
            items += page["Items"]
            if "LastEvaluatedKey" not in page:
                return items
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    async def _get(self, pk: str, sk: str) -> dict[str, Any] | None:
        found = await asyncio.to_thread(lambda: self._table.get_item(Key={"pk": pk, "sk": sk}, ConsistentRead=True))
        item: dict[str, Any] | None = found.get("Item")
        return item

    # -- the contract --------------------------------------------------------------------------------------------

    async def today(self) -> date:
        """The shop's day."""
        return self._today

    async def series(self, id: str) -> Series | None:
        """A series."""
        item = await self._get(f"SERIES#{id}", "META")
        return _series(item) if item is not None else None

    async def volume(self, series: str, number: int) -> Volume | None:
        """A volume as it stands now."""
        owner = await self.series(series)
        item = await self._get(f"SERIES#{series}", f"V#{number:03d}") if owner is not None else None
        return _volume(item, owner) if item is not None and owner is not None else None

    async def volumes(self, series: str) -> Sequence[Volume]:
        """All volumes of a series, in order."""
        await self._refreshed()
        return self._volumes.get(series, [])

    async def order(self, id: str) -> Order | None:
        """An order."""
        item = await self._get(f"ORDER#{id}", "META")
        if item is None:
            return None
        return Order(
            id, str(item["state"]), date.fromisoformat(str(item["expected"])), str(item["carrier"]),
            int(item["items"]), date.fromisoformat(str(item["placed"])), str(item["customer"]),
        )  # fmt: skip

    async def orders(self, customer: str) -> Sequence[str]:
        """Numbers of a customer's orders."""

        def query() -> list[dict[str, Any]]:
            page = self._table.query(
                KeyConditionExpression="pk = :who AND begins_with(sk, :order)",
                ExpressionAttributeValues={":who": f"CUSTOMER#{customer}", ":order": "ORDER#"},
            )
            return list(page["Items"])

        return [str(item["sk"]).removeprefix("ORDER#") for item in await asyncio.to_thread(query)]

    async def search(self, wish: Wish, count: int = 5) -> Sequence[Volume]:
        """Volumes in stock that fit a wish, the best first, one of each series."""
        await self._refreshed()
        firsts: list[Volume] = []
        for volumes in self._volumes.values():
            fitting = [volume for volume in volumes if fits(volume, wish)]
            if fitting:
                firsts.append(max(fitting, key=lambda volume: volume.stock))
        return sorted(firsts, key=lambda volume: (-volume.series.age, -volume.stock))[:count]

    async def rule(self, id: str, language: str) -> str | None:
        """The sentence of one of the shop's rules."""
        return data_files.rule(id, language)

    async def passages(self, question: str, language: str, count: int = 8, age: int = 0) -> Sequence[str]:
        """What the shop's pages and records say about a question to a reader of that age, the best first."""
        return await self._finding.passages(question, language, count, age)

    async def _refreshed(self) -> None:
        if self._now() - self._read_at > self._fresh_s:
            await self.open()

    # -- sessions and tickets ------------------------------------------------------------------------------------

    async def load(self, session: str) -> bytes | None:
        """A session as it was kept."""
        item = await self._get(f"SESSION#{session}", "META")
        return bytes(item["kept"].value) if item is not None else None

    async def save(self, session: str, kept: bytes, at: float) -> None:
        """Keeps a session for a day."""
        item = {"pk": f"SESSION#{session}", "sk": "META", "kept": kept, "expires": int(at) + _SESSION_S}
        await asyncio.to_thread(lambda: self._table.put_item(Item=item))

    async def hand_over(self, session: str, summary: str, at: float) -> int:
        """Opens a ticket for a colleague; its number."""

        def write() -> int:
            counted = self._table.update_item(
                Key={"pk": "TICKETS", "sk": "COUNT"}, UpdateExpression="ADD #n :one",
                ExpressionAttributeNames={"#n": "number"}, ExpressionAttributeValues={":one": 1},
                ReturnValues="UPDATED_NEW",
            )  # fmt: skip
            number = int(counted["Attributes"]["number"])
            ticket = {"session": session, "summary": summary[:2_000], "at": int(at)}
            self._table.put_item(Item={"pk": "TICKETS", "sk": f"{number:07d}", **ticket})
            return number

        return await asyncio.to_thread(write)

    async def change(self, sku: str, *, price: str | None = None, stock: int | None = None) -> None:
        """Changes a volume's price or stock, as the shop's office does."""
        known = next((each for mine in self._volumes.values() for each in mine if each.sku == sku), None)
        wanted = {"price": price, "stock": stock}
        changes = {name: value for name, value in wanted.items() if value is not None}
        if known is None or not changes:
            return
        await asyncio.to_thread(
            lambda: self._table.update_item(
                Key={"pk": f"SERIES#{known.series.id}", "sk": f"V#{known.number:03d}"},
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in changes),
                ExpressionAttributeNames={f"#{name}": name for name in changes},
                ExpressionAttributeValues={f":{name}": value for name, value in changes.items()},
            )
        )


def _of_series(series: Series) -> dict[str, Any]:
    return {
        "pk": f"SERIES#{series.id}", "sk": "META", "titles": series.titles, "author": series.author,
        "genres": series.genres, "age": series.age, "about": series.about, "volumes": series.volumes,
    }  # fmt: skip


def _of_volume(volume: Volume) -> dict[str, Any]:
    return {
        "pk": f"SERIES#{volume.series.id}", "sk": f"V#{volume.number:03d}", "sku": volume.sku, "pages": volume.pages,
        "price": volume.price, "stock": volume.stock, "released": volume.released.isoformat(),
    }  # fmt: skip


def _of_order(order: Order) -> dict[str, Any]:
    return {
        "state": order.state, "expected": order.expected.isoformat(), "carrier": order.carrier, "items": order.items,
        "placed": order.placed.isoformat(), "customer": order.customer,
    }  # fmt: skip


def _series(item: Mapping[str, Any]) -> Series:
    return Series(
        str(item["pk"]).removeprefix("SERIES#"), dict(item["titles"]), str(item["author"]), dict(item["genres"]),
        int(item["age"]), str(item["about"]), int(item["volumes"]),
    )  # fmt: skip


def _volume(item: Mapping[str, Any], series: Series) -> Volume:
    return Volume(
        str(item["sku"]), series, int(str(item["sk"]).removeprefix("V#")), int(item["pages"]), str(item["price"]),
        int(item["stock"]), date.fromisoformat(str(item["released"])),
    )  # fmt: skip
