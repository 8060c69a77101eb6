"""The shop's own retriever: records by title, records by wish, pages by shared words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from mangaassist import data_files
from mangaassist.catalogue import Volume, record
from mangaassist.context import best, names_genre, wants_advice
from mangaassist.recognise import Titles, fold, lexicon
from mangaassist.shop import Wish, youngest

_NUMBERS = re.compile(r"\d{1,3}(?:[.,]\d{1,2})?")
_PAGES = 3
_RECORDS = 4
"""Of each title that is named."""


class Records(Protocol):
    """Where the records are."""

    titles: Titles

    async def volumes(self, series: str) -> Sequence[Volume]:
        """All volumes of a series, in order."""

    async def search(self, wish: Wish, count: int = 5) -> Sequence[Volume]:
        """Volumes in stock that fit a wish."""


class Finding:
    """Finds passages for a question."""

    def __init__(self, shop: Records) -> None:
        self._shop = shop

    async def passages(self, question: str, language: str, count: int, age: int = 0) -> list[str]:
        """The passages, the best first. Of what suits a reader of `age` alone (0: not known) titles are suggested."""
        asked, titles = fold(question), self._shop.titles
        named = titles.named(question)
        found: list[str] = []
        for series in named.series[:3]:
            volumes = await self._shop.volumes(series)
            first = [volume for volume in volumes if volume.number in named.volumes]
            rest = [volume for volume in volumes if volume.number not in named.volumes]
            found += [record(volume, language) for volume in (*first, *rest)[: max(_RECORDS, len(first))]]
        if not named.series and (wants_advice(asked) or names_genre(asked)):
            wanted = wish(asked)
            fitting = await self._shop.search(wanted._replace(age=youngest(wanted.age, age)), count)
            found += [record(volume, language) for volume in fitting]
        pages = [data_files.page(topic, language) for topic in data_files.pages()["topics"][language]]
        near = best(asked, pages, _PAGES)
        # Who names neither a title nor a wish asks about a rule, perhaps in words that no page has.
        return [*found, *near] if found else [*near, *(page for page in pages if page not in near)]


def wish(asked: str) -> Wish:
    """What a folded question wishes for: a genre, an age (a small whole number), a price (a number with cents, else
    one beside `euro`)."""
    genre = next((genre for entry in lexicon().values() for genre in entry["whole_genres"] if fold(genre) in asked), "")
    age, most = 0, 0.0
    for match in _NUMBERS.finditer(asked):
        text = match.group().replace(",", ".")
        if "." in text or re.match(r"\s*(?:€|euro|ユーロ)", asked[match.end() :]):
            most = float(text)
        elif not age and int(text) <= 21:
            age = int(text)
    return Wish(genre=genre, age=age, most=most)


def fits(volume: Volume, wish: Wish) -> bool:
    """Whether a volume is in stock and what somebody wishes for."""
    series = volume.series
    if volume.stock <= 0 or (wish.age and series.age > wish.age) or (wish.most and float(volume.price) > wish.most):
        return False
    if wish.genre and fold(wish.genre) not in {fold(genre) for genre in series.genres.values()}:
        return False
    words = re.findall(r"\w{2,}", fold(wish.words))[:6]
    text = fold(" ".join((*series.titles.values(), series.author, series.about)))
    return not words or any(word in text for word in words)
