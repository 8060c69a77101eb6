"""What the assistant needs of a shop: the contract of its stores, and the tools made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple, Protocol

from mangaassist.catalogue import Order, Series, Volume, spoken
from mangaassist.recognise import RULES, TALK, Asked, Titles


class Wish(NamedTuple):
    """What a customer is looking for; "" or 0: does not matter."""

    words: str = ""
    genre: str = ""
    age: int = 0
    """Only what is suitable from this age."""
    most: float = 0.0
    """Euros a volume."""


class Shop(Protocol):
    """A shop's data. Implementations: SQLite (`sqlite_shop`), DynamoDB (`dynamo_shop`)."""

    titles: Titles

    async def today(self) -> date:
        """The shop's day."""

    async def series(self, id: str) -> Series | None:
        """A series."""

    async def volume(self, series: str, number: int) -> Volume | None:
        """A volume as it stands now."""

    async def order(self, id: str) -> Order | None:
        """An order."""

    async def search(self, wish: Wish, count: int = 5) -> Sequence[Volume]:
        """Volumes in stock that fit a wish, the best first, one of each series."""

    async def rule(self, id: str, language: str) -> str | None:
        """The sentence of one of the shop's rules."""

    async def passages(self, question: str, language: str, count: int = 8, age: int = 0) -> Sequence[str]:
        """What the shop's pages and records say about a question, the best first; for a reader of that age (0: not
        known), who is shown no title above it."""


class Desk(Protocol):
    """Colleagues who take over, and memory of sessions."""

    async def load(self, session: str) -> bytes | None:
        """A session as it was kept."""

    async def save(self, session: str, kept: bytes, at: float) -> None:
        """Keeps a session."""

    async def hand_over(self, session: str, summary: str, at: float) -> int:
        """Opens a ticket for a colleague; its number."""


_TALK = {
    "greeting": {
        "en": "Hello from Kumo Books! How can I help you?",
        "ja": "こんにちは、くも書店です。何かお手伝いできますか?",
        "vi": "Xin chào, Kumo Books nghe đây. Tôi giúp gì được cho bạn?",
    },
    "thanks": {
        "en": "You are welcome. Have a lovely day!",
        "ja": "どういたしまして。良い一日を!",
        "vi": "Không có gì. Chúc bạn một ngày vui!",
    },
}


class Looked(NamedTuple):
    """A tool call with its result."""

    tool: str
    arguments: dict[str, Any]
    result: dict[str, Any]


_TOO_YOUNG = {
    "en": "{title} is for readers from {age} years. May I suggest something for {reader}-year-olds?",
    "ja": "{title}は{age}歳以上の方向けです。{reader}歳の方に合う作品をご案内しましょうか?",
    "vi": "{title} dành cho bạn đọc từ {age} tuổi. Tôi gợi ý truyện hợp với {reader} tuổi nhé?",
}


_WHICH_ORDER = {
    "en": "Gladly. Which order is it? Its number begins with H- and stands in your confirmation, like H-102751.",
    "ja": "かしこまりました。ご注文番号をお知らせください。確認メールにあるH-で始まる番号です(例:H-102751)。",
    "vi": "Vâng. Bạn cho tôi mã đơn hàng nhé: mã bắt đầu bằng H- và có trong thư xác nhận, ví dụ H-102751.",
}
_NO_ORDER = {
    "en": "I cannot find order {order} among yours. Please check its number; I can also pass you on to a colleague.",
    "ja": "お客様のご注文の中に{order}は見当たりません。番号をご確認ください。担当者にお繋ぎすることもできます。",
    "vi": "Tôi không thấy đơn {order} của bạn. Bạn kiểm tra lại mã nhé; tôi cũng có thể chuyển cho nhân viên.",
}
"""Of an order that does not exist, and of somebody else's: which of both it is, is nobody's business."""


async def look_up(asked: Asked, shop: Shop, user: str = "", age: int = 0) -> Looked | None:
    """What the template of a recognised question is filled from; None: the shop knows no such thing, and the model
    has to say so kindly.

    Args:
        asked: what was recognised.
        shop: who knows.
        user: who asks; nobody is told of another customer's order.
        age: of the reader, 0 where it is not known.
    """
    language = asked.language
    if asked.intent in TALK:
        return Looked("shop_says", {"about": asked.intent}, {"sentence": _TALK[asked.intent][language]})
    if asked.intent in RULES:
        sentence = await shop.rule(asked.intent, language)
        return Looked("shop_says", {"about": asked.intent}, {"sentence": sentence}) if sentence else None
    if asked.intent == "order_number":
        return Looked("shop_says", {"about": "order"}, {"sentence": _WHICH_ORDER[language]})
    if asked.intent == "order_status":
        order = await shop.order(asked.order)
        if order is None or not _may_know(user, order):
            sentence = _NO_ORDER[language].format(order=asked.order)
            return Looked("shop_says", {"about": "order"}, {"sentence": sentence})
        arguments = {"order_id": order.id}
        return Looked(
            "order_status", arguments, {**order_result(order), "expected_day": spoken(order.expected, language)}
        )
    volume = await shop.volume(asked.series, asked.volume)
    if volume is None:
        return None
    series = volume.series
    if too_young(series, age):
        sentence = _TOO_YOUNG[language].format(title=series.titles[language], age=series.age, reader=age)
        return Looked("shop_says", {"about": "age rating"}, {"sentence": sentence})
    tool = {"stock": "stock_check", "price": "price_check", "release_date": "release_check"}[asked.intent]
    title = volume.series.titles[language]
    result = {**stock_result(volume, await shop.today()), "title": title, "released": spoken(volume.released, language)}
    result["some"] = "no" if volume.stock == 0 else "yes"
    return Looked(tool, {"title": title, "volume": volume.number}, result)


def too_young(series: Series, age: int) -> bool:
    """Whether a series is not for a reader of this age; 0: the age is not known."""
    return 0 < age < series.age


def youngest(*ages: int) -> int:
    """The least of the ages that are known (0: not known)."""
    return min((each for each in ages if each), default=0)


def _may_know(user: str, order: Order) -> bool:
    return not order.customer or order.customer == user


async def run(tool: str, arguments: Mapping[str, Any], shop: Shop, user: str = "", age: int = 0) -> dict[str, Any]:
    """Runs a tool that the model called, for a customer and the reader's age (0: not known)."""
    if tool == "order_status":
        order = await shop.order(str(arguments.get("order_id", "")).strip().upper())
        return order_result(order) if order is not None and _may_know(user, order) else {"error": "no such order"}
    if tool == "stock_check":
        volume = await _volume(arguments, shop)
        if volume is None:
            return {"error": "no such volume"}
        if too_young(volume.series, age):
            return {"error": f"for readers from {volume.series.age} years, and this reader is {age}"}
        return stock_result(volume, await shop.today())
    if tool == "search_products":
        wish = Wish(
            words=str(arguments.get("query", "")), genre=str(arguments.get("genre", "")),
            age=youngest(_whole(arguments.get("age")), age),
            most=float(_whole(arguments.get("most_euros"))),
        )  # fmt: skip
        return {"volumes": [_listed(volume) for volume in await shop.search(wish)]}
    if tool == "recommend":
        id = shop.titles.find(str(arguments.get("title", "")))
        liked = await shop.series(id) if id is not None else None
        if liked is None:
            return {"error": "no such series"}
        alike = await shop.search(Wish(genre=liked.genres["en"], age=age or liked.age))
        return {"volumes": [_listed(volume) for volume in alike if volume.series.id != liked.id][:3]}
    return {"error": f"no tool {tool}"}


def order_result(order: Order) -> dict[str, Any]:
    """An order as the tool tells it: nothing of whose it is."""
    return {
        "order_id": order.id, "state": order.state, "expected": order.expected.isoformat(), "carrier": order.carrier,
        "items": order.items, "placed": order.placed.isoformat(),
    }  # fmt: skip


def stock_result(volume: Volume, today: date) -> dict[str, Any]:
    """A volume's stock as the tool tells it."""
    return {
        "sku": volume.sku, "title": volume.series.titles["en"], "volume": volume.number, "price_eur": volume.price,
        "in_stock": f"{volume.stock} copies", "copies": volume.stock, "warehouse": "Harbour Street",
        "checked": today.isoformat(),
    }  # fmt: skip


def _listed(volume: Volume) -> dict[str, Any]:
    series = volume.series
    return {
        "sku": volume.sku, "title": series.titles["en"], "volume": volume.number, "price_eur": volume.price,
        "genre": series.genres["en"], "age": series.age, "in_stock": f"{volume.stock} copies",
    }  # fmt: skip


async def _volume(arguments: Mapping[str, Any], shop: Shop) -> Volume | None:
    id = shop.titles.find(str(arguments.get("title", "")))
    return await shop.volume(id, _whole(arguments.get("volume"))) if id is not None else None


def _whole(value: Any) -> int:
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        return 0
