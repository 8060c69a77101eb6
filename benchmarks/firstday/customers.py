"""Three customers with weeks of traffic each: a FAQ bot, RAG over documents in five forms, an agent with tools.

They come from the reference application's mix: the questions, how often they come again, and what is right. What the
customers change is how an application of their kind writes its requests.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from hapenny.core.messages import Message as Turn
from hapenny.core.messages import Parameters, Request, Text
from hapenny.simulation.workload import mix as mixes
from hapenny.simulation.workload.mix import Mix
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message, Population

DAYS = 7.0


class Customer(Struct, frozen=True, kw_only=True):
    """One customer: its traffic, and how it asks."""

    name: str
    messages: list[Message]
    shop: Shop
    model: str
    """What its clients ask for before anybody advises them."""

    def shape(self, message: Message, request: Request) -> Request:
        """The request as this customer's application writes it."""
        if self.name == "rag":
            last = Turn("user", (Text(_in_form(message)[1]),))
            system = (*request.system, *(Text(text) for text in _in_form(message)[0]))
            return msgspec.structs.replace(request, messages=(*request.messages[:-1], last), system=system)
        if self.name == "faq":  # as most clients: no word about the temperature
            return msgspec.structs.replace(request, parameters=Parameters(max_tokens=request.parameters.max_tokens))
        return request


FORMS = ("tagged", "labelled", "numbered", "markdown", "system")


def customers(day: int, seed: int = 7, weeks: int = 1) -> list[Customer]:
    """The three, with `day` messages a day for so many weeks."""
    shared = mixes.load(None)
    made = []
    for name, model, intents, system, tools, scale in (
        ("faq", "strong", ("returns", "shipping", "store", "price"), 700, 0, 0.0),
        ("rag", "auto", ("returns", "shipping", "product_info", "price", "recommendation"), 1_600, 0, 1.345),
        ("agent", "strong", ("order_status", "stock"), 2_500, 2_000, 0.0),
    ):
        mix = _of(shared, intents, system, tools, scale)
        population = Population(mix, seed=seed)
        messages = population.messages(round(day * DAYS * weeks), DAYS * weeks)
        made.append(Customer(name=name, messages=messages, shop=population.shop, model=model))
    return made


def _of(mix: Mix, names: tuple[str, ...], system: int, tools: int, scale: float) -> Mix:
    """The mix with those intents alone."""
    whole = sum(mix.intents[name].share for name in names)
    intents = {
        name: msgspec.structs.replace(
            mix.intents[name],
            share=mix.intents[name].share / whole,
            tokens=msgspec.structs.replace(
                mix.intents[name].tokens, system=system, tools=tools if tools else 0,
                documents=mix.intents[name].tokens.documents if scale else 0,
            ),
        )
        for name in names
    }  # fmt: skip
    traffic = msgspec.structs.replace(mix.traffic, campaigns=(), releases=())
    return msgspec.structs.replace(mix, intents=intents, traffic=traffic, documents_scale=scale or 1.0)


def _in_form(message: Message) -> tuple[list[str], str]:
    """What goes into the system prompt, and the user's turn, with passages in one of five forms, by session."""
    passages, question = message.documents, message.text
    if not passages:
        return [], question
    form = FORMS[sum(message.session.encode()) % len(FORMS)]
    if form == "labelled":
        return [], "Context:\n\n" + "\n\n".join(passages) + f"\n\nQuestion: {question}"
    if form == "numbered":
        listed = "\n".join(f"[{number + 1}] {text}" for number, text in enumerate(passages))
        return [], f"Use these sources:\n{listed}\n\nQuestion: {question}"
    if form == "markdown":
        return [], "## Context\n\n" + "\n\n".join(passages) + f"\n\n## Question\n\n{question}"
    tagged = "".join(f"<document>\n{text}\n</document>\n" for text in passages)
    return ([tagged], question) if form == "system" else ([], f"{tagged}\n{question}")
