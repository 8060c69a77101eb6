"""The fictional shop's catalogue: 300 series, 3,000 volumes, their prices, stock, genres, ages and release dates.

Everything follows from the seed, and the state of a day from seed and day: prices and stock of some volumes change
each night, new volumes come out each week. Titles, people and places are invented (`shop.yaml`).
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from hapenny.simulation.workload.chance import Draws, number

FIRST_DAY = date(2026, 1, 1)
"""The date of day 0."""
LANGUAGES = ("en", "ja", "vi")
_CHANGES = 0.02
"""Share of volumes whose price or stock changes in a night; assumed."""


class Series(Struct, frozen=True, kw_only=True):
    """A series. `names`, `genres` by language; `age` in years; `about` in English."""

    id: str
    names: dict[str, str]
    author: str
    genres: dict[str, str]
    age: int
    about: str
    volumes: int

    @property
    def name(self) -> str:
        """The title as the catalogue spells it."""
        return self.names["en"]


class Volume(Struct, frozen=True, kw_only=True):
    """A volume of a series; the price is that of day 0, in cents."""

    sku: str
    series: Series
    number: int
    pages: int
    cents: int
    released: date


class State(Struct, frozen=True):
    """A volume on a day: price in euros as written, copies in stock."""

    price: str
    stock: int


@cache
def words() -> dict[str, Any]:
    """The vocabulary of the shop."""
    vocabulary: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("shop.yaml").read_text(encoding="utf-8"))
    return vocabulary


class Catalogue:
    """All series and volumes of one shop.

    Args:
        seed: decides everything.
        series, volumes: how many series, and volumes of each on average.
    """

    def __init__(self, seed: int = 7, series: int = 300, volumes: int = 10) -> None:
        self.seed = seed
        draws = Draws("catalogue", seed)
        vocabulary = words()
        pairs = [(first, second) for first in vocabulary["adjectives"] for second in vocabulary["nouns"]]
        if series > len(pairs):
            raise ValueError(f"series: {series} is more than the {len(pairs)} titles there are words for")
        self.series = [self._series(index, *pair, draws) for index, pair in enumerate(draws.sample(pairs, series))]
        self._even(volumes, draws)
        self.volumes: list[Volume] = []
        for each in self.series:
            self.volumes += self._volumes(each, draws)

    def _series(self, index: int, first: list[str], second: list[str], draws: Draws) -> Series:
        vocabulary = words()
        english, japanese, vietnamese = draws.choice(vocabulary["genres"])
        name = f"{first[0]} {second[0]}"
        return Series(
            id=f"S{index + 1:03d}",
            names={"en": name, "ja": f"{first[1]}{second[1]}", "vi": name},
            author=draws.choice(vocabulary["authors"]),
            genres={"en": english, "ja": japanese, "vi": vietnamese},
            age=draws.choice([6, 8, 10, 12, 12, 14, 14, 16, 18]),
            about=" ".join(draws.choice(vocabulary[part]) for part in ("people", "deeds", "places")),
            volumes=3 + int(draws.random() ** 2 * 22),
        )

    def _even(self, volumes: int, draws: Draws) -> None:
        """Brings the mean number of volumes to what was asked for."""
        wanted = volumes * len(self.series)
        counts = [each.volumes for each in self.series]
        while (missing := wanted - sum(counts)) != 0:
            place = draws.below(len(counts))
            if missing > 0 or counts[place] > 2:
                counts[place] += 1 if missing > 0 else -1
        self.series = [
            Series(id=each.id, names=each.names, author=each.author, genres=each.genres, age=each.age,
                   about=each.about, volumes=count)
            for each, count in zip(self.series, counts, strict=True)
        ]  # fmt: skip

    def _volumes(self, series: Series, draws: Draws) -> list[Volume]:
        base = draws.between(580, 1190)
        last = FIRST_DAY + timedelta(days=draws.between(-200, 60))
        return [
            Volume(
                sku=f"KB-{10_000 + int(series.id[1:]) * 40 + number_}",
                series=series,
                number=number_,
                pages=draws.between(168, 240),
                cents=base + 10 * draws.between(-6, 12),
                released=last - timedelta(days=(series.volumes - number_) * draws.between(60, 95)),
            )
            for number_ in range(1, series.volumes + 1)
        ]

    @cached_property
    def of_series(self) -> dict[str, list[Volume]]:
        """Volumes by series id, in order."""
        grouped: dict[str, list[Volume]] = {}
        for volume in self.volumes:
            grouped.setdefault(volume.series.id, []).append(volume)
        return grouped

    @cached_property
    def of_genre(self) -> dict[str, list[Series]]:
        """Series by English genre."""
        grouped: dict[str, list[Series]] = {}
        for series in self.series:
            grouped.setdefault(series.genres["en"], []).append(series)
        return grouped

    def version(self, volume: Volume, day: int) -> int:
        """The last day up to `day` on which the volume's price or stock changed."""
        return next(
            (back for back in range(day, 0, -1) if number(self.seed, "changes", volume.sku, back) < _CHANGES), 0
        )

    def state(self, volume: Volume, day: int) -> State:
        """Price and stock of a volume on a day."""
        since = self.version(volume, day)
        shift = int(number(self.seed, "price", volume.sku, since) * 9 - 4) * 10 if since else 0
        draw = number(self.seed, "stock", volume.sku, since)
        out = volume.released > FIRST_DAY + timedelta(days=day)
        stock = 0 if draw < 0.12 or out else 1 + int((draw - 0.12) / 0.88 * 60)
        return State(euros(volume.cents + shift), stock)


def euros(cents: int) -> str:
    """1250 as 12.50."""
    return f"{cents // 100}.{cents % 100:02d}"
