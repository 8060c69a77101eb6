"""What the techniques are tried on: the reference mix, and workloads in which one kind of traffic stands out.

All are made of the same shop, so that the right answer to every question is known. Learning messages come before the
measured ones and ask other questions of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from hapenny.simulation.workload import mix as mixes
from hapenny.simulation.workload.mix import Mix
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message, Population
from hapenny.studies.virtual_run import apart

POLICY = ("returns", "shipping", "store", "small_talk")
LOOKED_UP = ("order_status", "stock")
READ = ("price", "release_date", "product_info", "recommendation")
_DAYS = 0.05
"""Stretch of the shop's day: prices and stock stand still in it."""


class Workload(Struct, frozen=True):
    """Messages to learn from, and those that are measured."""

    shop: Shop
    learn: tuple[Message, ...]
    measured: tuple[Message, ...]
    quota: float | None = None

    @property
    def all(self) -> tuple[Message, ...]:
        """Both, in order."""
        return (*self.learn, *self.measured)


def _only(mix: Mix, *names: str) -> Mix:
    total = sum(mix.intents[name].share for name in names)
    return replace(
        mix, intents={name: replace(mix.intents[name], share=mix.intents[name].share / total) for name in names},
        traffic=replace(mix.traffic, campaigns=(), releases=()),
    )  # fmt: skip


def _as_it_is(messages: Sequence[Message], shop: Shop) -> list[Message]:
    return list(messages)


def _documents_in_front(messages: Sequence[Message], shop: Shop) -> list[Message]:
    """The application puts what it retrieved into the system prompt."""
    moved = []
    for message in messages:
        passages = "".join(f"<document>\n{passage}\n</document>\n" for passage in message.documents)
        system = f"{message.system}\nAnswer from these documents.\n{passages}" if passages else message.system
        moved.append(replace(message, system=system, documents=()))
    return moved


def _one_handbook(messages: Sequence[Message], shop: Shop) -> list[Message]:
    """All rules of the shop stand in front of every question, in the same words."""
    pages = [shop.page(topic, "en") for topic in ("returns", "shipping", "store")]
    books: dict[str, str] = {}
    for message in messages:
        language = message.language
        if language not in books:
            pages = [shop.page(topic, language) for topic in ("returns", "shipping", "store")]
            books[language] = "\n\n".join((message.system, *pages, shop.system(4_000)))
    return [replace(message, system=books[message.language], documents=()) for message in messages]


def _long_chats(messages: Sequence[Message], shop: Shop) -> list[Message]:
    """Few customers who ask on and on: each question carries the conversation so far, passages and all."""
    return _talks(messages, 40, "chat")


_EACH = 10
"""Questions that are asked of one document, and turns of a search."""


def _documents_asked(messages: Sequence[Message], shop: Shop) -> list[Message]:
    """Document Q&A: each document, of some thousand tokens, is asked ten questions by people who do not know of one
    another; the pages that answer them stand in it."""
    made: list[Message] = []
    for start in range(0, len(messages), _EACH):
        group = messages[start : start + _EACH]
        spoken = dict.fromkeys(message.language for message in group)
        pages = "\n\n".join(shop.page(topic, each) for each in spoken for topic in POLICY[:3])
        body = f"Answer from this document.\n<document>\n{pages}\n{shop.system(2_500)}\n</document>"
        system = f"{group[0].system}\n{body}"
        made += [replace(message, system=system, documents=(), earlier=()) for message in group]
    return made


def _one_assistant(messages: Sequence[Message], shop: Shop) -> list[Message]:
    """A code assistant: long rules, the files of a project in front, and conversations of twelve turns."""
    files = "\n".join(
        f"# shelf_{volume.number}.py\ndef price_{volume.sku.replace('-', '_').lower()}():\n    return {volume.pages}"
        for volume in shop.catalogue.volumes[:120]
    )
    system = f"{shop.system(1_500)}\nThe project:\n```python\n{files}\n```"
    return _talks([replace(message, system=system) for message in messages], 12)


def _searches(messages: Sequence[Message], shop: Shop) -> list[Message]:
    """Agentic search: many tools, each question a call and its result, ten questions in a row."""
    return _talks([replace(message, tools=1_200) for message in messages], _EACH)


def _talks(messages: Sequence[Message], turns: int, kind: str = "talk") -> list[Message]:
    """The messages as conversations of so many turns, each one thread: earlier turns are those of this conversation."""
    made: list[Message] = []
    for place, message in enumerate(messages):
        name, before = f"{kind}-{place // turns}", messages[place - place % turns : place]
        made.append(replace(message, session=name, user=name, earlier=tuple(each.number for each in before)))
    return made


def _wordy(messages: Sequence[Message], shop: Shop) -> list[Message]:
    """Instructions that grew over years: rules said again in other places, examples that repeat an answer."""
    rules = [line for line in shop.system(900).splitlines() if line.strip()]
    again = [f"Please note that {line.lstrip('- ')[0].lower()}{line.lstrip('- ')[1:]}" for line in rules[1:12]]
    system = "\n".join((*rules, "=" * 40, *again, "", *rules[1:6], shop.system(2_500)))
    return [replace(message, system=system) for message in messages]


class Kind(Struct, frozen=True):
    """How a workload is made."""

    about: str
    mix: Callable[[Mix], Mix]
    shape: Callable[[Sequence[Message], Shop], list[Message]]
    quota: float | None = None
    """The provider's quota of requests a minute as a share of what is sent; None: there is enough of it."""
    talks: bool = False
    """Whether conversations are made of the messages anew, so that the population's own sessions say nothing."""


KINDS: dict[str, Kind] = {
    "mix": Kind("the reference mix", lambda mix: mix, _as_it_is),
    "faq": Kind("rules of the shop, often asked again", lambda mix: _only(mix, *POLICY), _as_it_is),
    "documents": Kind("documents in the system prompt", lambda mix: _only(mix, *READ), _documents_in_front),
    "passages": Kind("passages before the question", lambda mix: _only(mix, *READ), _as_it_is),
    "handbook": Kind("one long handbook in every prompt", lambda mix: _only(mix, "returns", "shipping", "store"),
                     _one_handbook),
    "document_qa": Kind("ten questions to each long document", lambda mix: _only(mix, *POLICY[:3]), _documents_asked),
    "code_assistant": Kind("a project's files in front of twelve turns",
                           lambda mix: _only(mix, "export", "translation"), _one_assistant, talks=True),
    "agentic_search": Kind("many tools, ten look-ups in a row", lambda mix: _only(mix, *LOOKED_UP), _searches,
                           talks=True),
    "wordy": Kind("instructions that say much twice", lambda mix: _only(mix, *READ), _wordy),
    "agent": Kind("orders and stock, looked up by tools", lambda mix: _only(mix, *LOOKED_UP), _as_it_is),
    "scarce": Kind("the mix at a quota of seven tenths", lambda mix: mix, _as_it_is, quota=0.7),
    "long_chat": Kind("conversations of forty turns", lambda mix: _only(mix, *READ, "returns", "store"), _long_chats,
                      talks=True),
}  # fmt: skip


def build(name: str, learn: int, measured: int, seed: int = 7, mix: str | None = None) -> Workload:
    """The workload of a name. Learning messages that ask a measured question are left out."""
    kind = KINDS[name]
    population = Population(kind.mix(mixes.load(mix)), seed=seed)
    both = population.messages(learn + measured, _DAYS)
    first, second = both[:learn], both[learn:]
    if not kind.talks:
        kept = {message.session for message in second}
        first = [message for message in apart(first, second) if message.session not in kept]
    shop = population.shop
    return Workload(shop, tuple(kind.shape(first, shop)), tuple(kind.shape(second, shop)), kind.quota)
