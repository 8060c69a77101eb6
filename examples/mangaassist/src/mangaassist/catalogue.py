"""The shop's books: series, volumes and orders as the application knows them, and how they read in a prompt."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple


class Series(NamedTuple):
    """A series. `titles`, `genres` by language; `age` in years."""

    id: str
    titles: dict[str, str]
    author: str
    genres: dict[str, str]
    age: int
    about: str
    volumes: int


class Volume(NamedTuple):
    """A volume of a series today; the price in euros as it is written."""

    sku: str
    series: Series
    number: int
    pages: int
    price: str
    stock: int
    released: date


class Order(NamedTuple):
    """An order as the carrier last told it."""

    id: str
    state: str
    """packed, shipped or delayed."""
    expected: date
    carrier: str
    items: int
    placed: date
    customer: str = ""
    """Whose it is; "" where the shop does not say."""


_RECORD = {
    "en": (
        "{t}, volume {n} ({sku})\n{count} volumes by {author}. Genre: {genre}. For readers from {age} years.\n"
        "Price: {price} euros. {stock} copies in stock. Published on {date}, {pages} pages.\nThe story of {about}."
    ),
    "ja": (
        "{t} 第{n}巻 ({sku})\n全{count}巻、作者は{author}。ジャンルは{genre}。{age}歳以上の方に。\n"
        "価格は{price}ユーロ。在庫{stock}冊。発売日は{date}、{pages}ページ。\nあらすじ: {about}."
    ),
    "vi": (
        "{t}, tập {n} ({sku})\nBộ {count} tập của {author}. Thể loại: {genre}. Dành cho bạn đọc từ {age} tuổi.\n"
        "Giá: {price} euro. Còn {stock} bản trong kho. Phát hành ngày {date}, {pages} trang.\nCâu chuyện về {about}."
    ),
}
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def record(volume: Volume, language: str) -> str:
    """A volume as a passage of a prompt."""
    series = volume.series
    return _RECORD[language].format(
        t=series.titles[language], n=volume.number, sku=volume.sku, count=series.volumes, author=series.author,
        genre=series.genres[language], age=series.age, price=volume.price, stock=volume.stock,
        date=volume.released.isoformat(), pages=volume.pages, about=series.about,
    )  # fmt: skip


def spoken(day: date, language: str) -> str:
    """A date as people write it."""
    if language == "ja":
        return f"{day.year}年{day.month}月{day.day}日"
    if language == "vi":
        return f"{day.day} tháng {day.month} năm {day.year}"
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
