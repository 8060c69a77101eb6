"""A question made of a subject, a wording, a language and a day: its text, its truth, and what retrieval finds for it.

A subject is a tuple that begins with what is asked (`mix.ASKS`); the same subject in another wording is the same
question. All is drawn from names, so a question can be asked again at any time without being kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from hapenny.simulation.workload.chance import Draws
from hapenny.simulation.workload.shop import Shop, estimate, phrases, policies, values
from hapenny.simulation.workload.truth import Fact, Item

Subject: TypeAlias = tuple[Any, ...]
_RUNS = re.compile(r"[\u30a0-\u30ff]+|[\u4e00-\u9fff]+|[^\W\d_\u3040-\u9fff]+")


class Asked(Struct, frozen=True, kw_only=True):
    """A question as it is put on a day."""

    text: str
    item: Item
    documents: tuple[str, ...] = ()


class Wanted(Struct, frozen=True, kw_only=True):
    """How to ask: language, wording, day, and the sizes the mix wants, tokens."""

    language: str
    wording: int
    day: int
    intent: str
    kind: Any
    difficulty: float = 0.0
    documents: int = 0
    question: int = 0
    answer: int = 0


Maker: TypeAlias = Callable[[Shop, Subject, Wanted], Asked]


def worded(templates: Sequence[str], wanted: Wanted, subject: Subject, **filled: Any) -> str:
    """The question in one of its wordings, with the small noise of real ones, padded to the wanted length."""
    draws = Draws("wording", subject, wanted.language, wanted.wording)
    text: str = templates[wanted.wording % len(templates)].format(**filled)
    wordings = phrases()
    opening: str = draws.choice(wordings["greetings"][wanted.language])
    closing: str = draws.choice(wordings["closings"][wanted.language])
    if opening and wanted.language == "en" and opening.endswith(", "):
        text = text[0].lower() + text[1:] if not text[:2].isupper() and text[1:2].islower() else text
    gap = "" if wanted.language == "ja" else " "
    padding = ""
    while wanted.question and estimate(padding + text) < wanted.question - 8:
        padding += draws.choice(wordings["chatter"][wanted.language]) + gap
    return padding + opening + text + closing


def item(subject: Subject, wanted: Wanted, **truth: Any) -> Item:
    """The item of a subject, with what all items of a language share."""
    wordings = phrases()
    draws = Draws("filler", subject)
    lines = wordings["filler"][wanted.language]
    return Item(
        id="/".join(map(str, (*subject, wanted.language))),
        intent=wanted.intent,
        kind=wanted.kind,
        language=wanted.language,
        unknown=wordings["unknown"][wanted.language],
        filler=tuple(draws.sample(lines, len(lines))),
        tokens=wanted.answer,
        difficulty=wanted.difficulty,
        **truth,
    )


def retrieved(gold: Sequence[str], others: Callable[[Draws], str], wanted: Wanted, subject: Subject) -> tuple[str, ...]:
    """The passages a retriever hands over: those that matter among the first, then what resembles them, as many as
    the mix wants. The last third depends on the wording, as rankings do."""
    if not wanted.documents:
        return tuple(gold)
    passages = list(gold)
    size = sum(map(estimate, passages))
    draws, last = Draws("documents", subject, wanted.language), Draws("tail", subject, wanted.language, wanted.wording)
    tries = 0
    while size < wanted.documents and tries < 400:
        tries += 1
        passage = others(draws if size < wanted.documents * 2 // 3 else last)
        if passage in passages:
            continue
        if size + estimate(passage) > wanted.documents and last.random() * estimate(passage) > wanted.documents - size:
            break
        passages.append(passage)
        size += estimate(passage)
    # The best passage is seldom last and often not first.
    for place, passage in enumerate(gold):
        passages.remove(passage)
        passages.insert(min(len(passages), place + draws.below(3)), passage)
    return tuple(passages)


def anchor(sentence: str) -> str:
    """The word by which a rule is known among others: its longest, in Japanese its longest run of one script."""
    longest: str = max(_RUNS.findall(sentence.replace("{v}", " ")), key=len)
    return longest


def make_policy(shop: Shop, subject: Subject, wanted: Wanted) -> Asked:
    """A question about one of the shop's rules."""
    rule = policies()[subject[1]]
    language = wanted.language
    rule_text = rule[language]
    right, *wrong = values(rule, language)

    def answer(form: str, value: str) -> str:
        filled: str = form.format(fact=rule_text["fact"].format(v=value), short=rule_text["short"].format(v=value))
        return filled

    forms = phrases()["policy"][language]
    mark = rule_text["mark"]
    truth = item(
        subject,
        wanted,
        facts=(Fact(mark.format(v=right), (anchor(rule_text["fact"]),)),),
        right=tuple(answer(form, right) for form in forms),
        wrong=tuple(answer(forms[index % len(forms)], value) for index, value in enumerate(wrong)),
        must=(tuple(dict.fromkeys((mark.format(v=right), rule["en"]["mark"].format(v=values(rule, "en")[0])))),),
        never=tuple(mark.format(v=value) for value in wrong if right not in value and value not in right),
    )
    topics = list(phrases()["topics"]["en"])

    def others(draws: Draws) -> str:
        if draws.random() < 0.55:
            return shop.page(draws.choice(topics), language)
        return shop.record(draws.choice(shop.catalogue.volumes), language, wanted.day)

    documents = retrieved([shop.page(rule["topic"], language)], others, wanted, subject)
    return Asked(text=worded(rule_text["ask"], wanted, subject), item=truth, documents=documents)


def make_small_talk(shop: Shop, subject: Subject, wanted: Wanted) -> Asked:
    """A greeting, a thank-you, a good-bye."""
    talk = phrases()["small_talk"]
    lines = talk[wanted.language]
    wrong = tuple(talk["wrong"][wanted.language])
    truth = item(subject, wanted, right=tuple(lines["right"]), wrong=wrong, never=wrong)
    text = lines["ask"][(subject[1] + wanted.wording) % len(lines["ask"])]
    return Asked(text=text, item=truth)


def make_translation(shop: Shop, subject: Subject, wanted: Wanted) -> Asked:
    """A phrase to be put into Japanese."""
    translation = phrases()["translation"]
    pairs = translation["pairs"]
    phrase, right = pairs[subject[1]]
    lines = translation[wanted.language]
    wrong = [pairs[(subject[1] + step) % len(pairs)][1] for step in (3, 5)]
    truth = item(
        subject,
        wanted,
        right=tuple(form.format(v=right) for form in lines["right"]),
        wrong=tuple(lines["right"][0].format(v=value) for value in wrong),
        must=((right,),),
    )
    return Asked(text=worded(lines["ask"], wanted, subject, p=phrase), item=truth)


def make_hostile(shop: Shop, subject: Subject, wanted: Wanted) -> Asked:
    """An attack; the right answer gives nothing away."""
    lines = phrases()["hostile"][wanted.language]
    draws = Draws("hostile", subject)
    filled = {"o": f"H-{draws.between(100_000, 999_999)}", "k": f"KUMO{draws.between(1000, 9999)}"}
    leaks = tuple(leak.format(**filled) for leak in lines["leak"])
    truth = item(subject, wanted, right=tuple(lines["right"]), wrong=leaks, never=leaks)
    template = lines["ask"][(subject[1] + wanted.wording) % len(lines["ask"])]
    topics = list(phrases()["topics"]["en"])
    documents = retrieved([], lambda some: shop.page(some.choice(topics), wanted.language), wanted, subject)
    return Asked(text=worded([template], wanted, subject, **filled), item=truth, documents=documents)
