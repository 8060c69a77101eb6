"""The workload's shop as MangaAssist's own: the same books, rules and orders, on the day a message is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from hapenny.simulation.workload.catalogue import FIRST_DAY
from hapenny.simulation.workload.catalogue import Series as ShopSeries
from hapenny.simulation.workload.shop import Shop as Known
from hapenny.simulation.workload.shop import order_record, policies, values
from mangaassist.catalogue import Order, Series, Volume
from mangaassist.recognise import Titles
from mangaassist.shop import Wish


class WorkloadShop:
    """One day of the workload's shop, by MangaAssist's contract. Its retriever is the message's own: what it found
    comes with the message."""

    def __init__(self, shop: Known, titles: Titles, day: int) -> None:
        self._shop, self.titles, self._day = shop, titles, day

    @staticmethod
    def all_titles(shop: Known) -> Titles:
        """All titles of the shop."""
        return Titles((name, each.id) for each in shop.catalogue.series for name in each.names.values())

    async def today(self) -> date:
        return FIRST_DAY + timedelta(days=self._day)

    async def series(self, id: str) -> Series | None:
        mine = self._shop.catalogue.of_series.get(id)
        return _series(mine[0].series) if mine else None

    async def volume(self, series: str, number: int) -> Volume | None:
        mine = self._shop.catalogue.of_series.get(series, [])
        if not 1 <= number <= len(mine):
            return None
        volume = mine[number - 1]
        state = self._shop.catalogue.state(volume, self._day)
        return Volume(
            volume.sku, _series(volume.series), volume.number, volume.pages, state.price, state.stock, volume.released
        )

    async def order(self, id: str) -> Order | None:
        known = order_record(id, self._day)
        return Order(
            id, known["state"], date.fromisoformat(known["expected"]), known["carrier"], known["items"],
            date.fromisoformat(known["placed"]),
        )  # fmt: skip

    async def search(self, wish: Wish, count: int = 5) -> Sequence[Volume]:
        return ()

    async def rule(self, id: str, language: str) -> str | None:
        rule = policies().get(id)
        return str(rule[language]["fact"]).format(v=values(rule, language)[0]) if rule is not None else None

    async def passages(self, question: str, language: str, count: int = 8, age: int = 0) -> Sequence[str]:
        return ()


def _series(series: ShopSeries) -> Series:
    return Series(series.id, series.names, series.author, series.genres, series.age, series.about, series.volumes)
