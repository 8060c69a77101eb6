"""A manga shop's traffic: questions asked again, asked otherwise, easy, hard, and over several turns, in bursts."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random  # noqa: TID251 - a seeded generator of its own: the same traffic each time
from typing import Any

import yaml
from msgspec import Struct


class Turn(Struct, frozen=True):
    """One message of a customer. `at` is seconds from the start; `needs` is the index of the turn before it, whose
    answer is part of its history."""

    at: float
    session: str
    kind: str
    text: str
    documents: tuple[str, ...]
    needs: int | None = None


@cache
def _shop() -> dict[str, Any]:
    shop: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("mangashop.yaml").read_text(encoding="utf-8"))
    return shop


def system() -> str:
    """The assistant's instructions."""
    return str(_shop()["system"])


def document(name: str) -> str:
    """A document of the shop, or the catalogue entry of a title id."""
    shop = _shop()
    if name in shop["documents"]:
        return str(shop["documents"][name])
    title = next(title for title in shop["titles"] if title["id"] == name)
    stock = f"{title['stock']} copies in stock" if title["stock"] else "out of stock, back in three weeks"
    return (
        f"{title['name']}: {title['genre']}, {title['volumes']} volumes, {title['price']:.2f} euros a volume, "
        f"{stock}, from {title['age']} years. The story of {title['about']}.\n"
    )


def prompt(turn: Turn) -> str:
    """The user message of a turn: the documents that were found for it, then the question."""
    found = "".join(f"<document>\n{document(name).strip()}\n</document>\n" for name in turn.documents)
    return f"{found}\nQuestion: {turn.text}" if found else turn.text


_DOCUMENT_OF = {
    "hours": "shop", "payment": "shop", "course": "shop", "delivery_time": "shipping", "delivery_cost": "shipping",
    "countries": "shipping", "pickup": "shipping", "returns": "returns", "damaged": "returns", "points": "membership",
    "student": "membership", "preorder": "preorders", "digital": "digital",
}  # fmt: skip


def traffic(requests: int, seconds: float, seed: int = 7) -> list[Turn]:
    """`requests` turns over `seconds`, sorted by time. Popular questions are asked often (Zipf), arrivals are bursty
    (a Gamma renewal process, coefficient of variation 2), one in four sessions has several turns."""
    rng = Random(seed)
    shop = _shop()
    turns: list[Turn] = []
    clock = 0.0
    session = 0
    while len(turns) < requests:
        session += 1
        clock += rng.gammavariate(0.25, 4.0)
        name = f"{rng.choice(shop['customers'])}-{session}"
        turns.extend(_session(rng, shop, name, clock, len(turns)))
    turns = turns[:requests]
    order = sorted(range(len(turns)), key=lambda index: turns[index].at)
    place = {old: new for new, old in enumerate(order)}
    last = max(turn.at for turn in turns) or 1.0
    scaled = []
    for old in order:
        turn = turns[old]
        needs = place[turn.needs] if turn.needs is not None else None
        scaled.append(Turn(turn.at / last * seconds, turn.session, turn.kind, turn.text, turn.documents, needs))
    return scaled


def _session(rng: Random, shop: dict[str, Any], name: str, at: float, start: int) -> list[Turn]:
    turns: list[Turn] = []

    def say(kind: str, text: str, documents: tuple[str, ...]) -> None:
        needs = start + len(turns) - 1 if turns else None
        turns.append(Turn(at + len(turns) * rng.uniform(4.0, 12.0), name, kind, text, documents, needs))

    titles = shop["titles"]
    draw = rng.random()
    if draw < 0.52:
        intent = _zipf(rng, list(shop["faq"]))
        documents = [_DOCUMENT_OF[intent], *Random(intent).sample(sorted(shop["documents"]), 2)]
        say("faq", _zipf(rng, shop["faq"][intent]), tuple(dict.fromkeys(documents)))
    elif draw < 0.80:
        title = _zipf(rng, titles)
        found = Random(title["id"])
        others = [each["id"] for each in titles if each["genre"] == title["genre"] or found.random() < 0.3]
        documents = list(dict.fromkeys([title["id"], *others, "shipping"]))
        say("title", _zipf(rng, shop["title_questions"]).format(name=title["name"]), tuple(documents))
        if rng.random() < 0.35:
            say("follow-up", rng.choice(shop["follow_ups"]), (title["id"], "shipping"))
    elif draw < 0.94:
        one, two = rng.sample(titles, 2)
        documents = [each["id"] for each in titles]
        text = rng.choice(shop["hard"]).format(a=one["name"], b=two["name"])
        say("hard", text, (*documents, "shipping", "returns", "membership", "preorders"))
    else:
        say("greeting", rng.choice(shop["greetings"]), ())
    if turns and rng.random() < 0.18:
        say("closing", rng.choice(shop["closings"]), ())
    return turns


def _zipf(rng: Random, items: list[Any]) -> Any:
    weights = [1 / (rank + 1) for rank in range(len(items))]
    return rng.choices(items, weights)[0]
