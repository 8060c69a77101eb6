"""What a question is about: popular series more often than others, and other ones from week to week."""

from __future__ import annotations

from hapenny.simulation.workload.chance import Draws
from hapenny.simulation.workload.questions import Subject
from hapenny.simulation.workload.shop import Shop, phrases, policies

_TOPICS = {
    "returns": ("returns",),
    "shipping": ("shipping",),
    "complaint": ("damaged",),
    "store": ("store", "membership", "preorders", "digital", "gifts"),
}
_ASPECTS = ("age", "count", "author", "genre")


class Subjects:
    """Draws subjects. Popularity is Zipf's; the order of the series moves on each week."""

    def __init__(self, shop: Shop, seed: int) -> None:
        catalogue = shop.catalogue
        self._catalogue = catalogue
        self._shop = shop
        self._order = Draws("popular", seed).sample(range(len(catalogue.series)), len(catalogue.series))
        self._first: dict[str, int] = {}
        for place, volume in enumerate(catalogue.volumes):
            self._first.setdefault(volume.series.id, place)
        self._rules = {
            asks: Draws("rules", seed, asks).sample(
                [rule["id"] for rule in policies().values() if rule["topic"] in topics], len(policies())
            )
            for asks, topics in _TOPICS.items()
        }

    def draw(self, asks: str, day: int, draws: Draws) -> Subject:
        """Something new to ask."""
        match asks:
            case "order_status":
                return (asks, f"H-{draws.between(100_000, 999_999)}")
            case "stock":
                return (asks, self._place(day, draws), "")
            case "price" | "release_date":
                return (asks, asks, self._place(day, draws), "")
            case "product_info":
                return (asks, draws.choice(_ASPECTS), self._place(day, draws), "")
            case "recommendation":
                return (asks, self._in_stock(day, draws))
            case "reckoning":
                form = draws.choice(("total", "budget", "cheaper"))
                place = self._place(day, draws)
                other = self._place(day, draws)
                while self._catalogue.volumes[other].series.id == self._catalogue.volumes[place].series.id:
                    other = draws.below(len(self._catalogue.volumes))
                return (asks, form, place, other)
            case "export":
                return (asks, self._place(day, draws))
            case "translation":
                return (asks, draws.below(len(phrases()["translation"]["pairs"])))
            case "small_talk":
                return (asks, draws.below(12))
            case "hostile":
                return (asks, draws.below(7), draws.below(1000))
            case _:
                rules = self._rules[asks]
                return (asks, rules[draws.popular(len(rules), 0.7)])

    def released(self, asks: str, day: int) -> Subject:
        """What a release day is about: the last volume of a popular series."""
        draws = Draws("release", day, self._order[0])
        series = self._catalogue.series[self._order[draws.below(min(20, len(self._order)))]]
        place = self._first[series.id] + series.volumes - 1
        return (asks, place, "") if asks == "stock" else (asks, asks, place, "")

    def follow(self, before: Subject, draws: Draws) -> Subject | None:
        """What refers to the subject before; None where nothing can."""
        if before[0] == "stock":
            following = self._next(before[1])
            return None if following is None else ("stock", following, "next")
        if before[0] not in ("price", "release_date", "product_info"):
            return None
        asks, aspect, place, _ = before
        following = self._next(place)
        if aspect in ("price", "release_date") and following is not None and draws.random() < 0.6:
            return (asks, aspect, following, "next")
        other = draws.choice([each for each in ("age", "author") if each != aspect])
        return (asks, other, place, other)

    def _next(self, place: int) -> int | None:
        volumes = self._catalogue.volumes
        same = place + 1 < len(volumes) and volumes[place + 1].series.id == volumes[place].series.id
        return place + 1 if same else None

    def _place(self, day: int, draws: Draws) -> int:
        order = self._order
        series = self._catalogue.series[order[(draws.popular(len(order), 0.8) + day // 7 * 5) % len(order)]]
        number = (
            series.volumes - 1 - draws.popular(series.volumes)
            if draws.random() < 0.6
            else draws.popular(series.volumes)
        )
        return self._first[series.id] + number

    def _in_stock(self, day: int, draws: Draws) -> int:
        for _ in range(50):
            place = self._place(day, draws)
            if self._catalogue.state(self._catalogue.volumes[place], day).stock:
                return place
        return place
