"""Prompts and questions for the simulation's tests."""

import random
from collections.abc import Sequence

from hapenny.core.events import Event, TextDelta
from hapenny.core.messages import Message, Parameters, Request, Text

HAIKU, SONNET = "claude-3-haiku", "claude-3-sonnet"
HAIKU_ID, SONNET_ID = "anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-sonnet-20240229-v1:0"

SHOP = (
    "Returns are accepted within 30 days of delivery. Shipping to Ireland takes 4 days and costs 3 euros. "
    "Gift wrapping costs 2 euros a volume. Signed editions cannot be returned. "
    "Points are worth 1 cent each and expire after a year. Box sets ship in a crate of their own."
)


def ask(
    question: str,
    *,
    model: str = HAIKU,
    context: str = SHOP,
    stream: bool = True,
    metadata: dict[str, str] | None = None,
    **parameters: object,
) -> Request:
    return Request(
        protocol="openai",
        model=model,
        system=(Text(context),) if context else (),
        messages=(Message("user", (Text(question),)),),
        parameters=Parameters(**parameters),  # type: ignore[arg-type]
        stream=stream,
        metadata=metadata or {},
    )


def text_of(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


_OPENERS = ("where is", "why was", "how long does", "can i return", "what about", "do you have", "explain", "is there")
_THINGS = (
    "my order", "the box set", "volume 12", "the signed edition", "a refund", "the hardcover", "delivery to Cork",
    "the preorder of the new series", "my voucher", "the colour version", "gift wrapping", "the artbook",
)  # fmt: skip
_TAILS = (
    "", "", "", "today", "if I already paid twice", "and which one is cheaper", "without the receipt",
    "before the 24th because I leave", "compared with the paperback, unless it is sold out", "please",
    "when both parcels arrive separately", "for my brother", "since my address changed",
)  # fmt: skip
_SYLLABLES = ("ka", "mo", "ri", "ta", "shi", "yu", "no", "ber", "lin", "da", "pe", "sol", "gan", "ve", "chu", "ro")


def questions(count: int, seed: int = 5) -> list[str]:
    """Shop questions of all lengths, each once."""
    chance = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        named = ["".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4))) for _ in range(chance.randint(1, 7))]
        parts = [chance.choice(_OPENERS) if chance.random() < 0.6 else "", " ".join(named)]
        if chance.random() < 0.5:
            parts.append(chance.choice(_THINGS))
        if chance.random() < 0.4:
            parts.append(chance.choice(_TAILS))
        if chance.random() < 0.2:
            parts.append(f"order {chance.randint(1000, 9999)}")
        found[" ".join(part for part in parts if part)] = None
    return list(found)
