"""What a simulated model says to a question whose truth is known.

A right answer is one of the item's right wordings, a wrong one a wrong extraction; which one, and which sentences fill
the answer to its length, differ from model to model: two models that are right say the same facts in other words.
"""

from __future__ import annotations

import json

from hapenny.simulation.answering import Draft
from hapenny.simulation.latents import chance
from hapenny.simulation.tokenizer import Tokenizer
from hapenny.simulation.workload.truth import Item

MISREAD = 0.3
"""Of the exchanges with a tool that go wrong, the share in which the call was right and its result misread; assumed."""
OWNED_UP = 0.5
"""Of the answers whose facts are not in the prompt, the share that says so; the others make something up. Assumed."""


def misreads(item: Item, model: str, seed: int) -> bool:
    """Whether a model that fails with a tool fails at reading the result rather than at the call."""
    return chance(seed, "misreads", model, item.id) < MISREAD


def call(item: Item, right: bool) -> Draft:
    """The tool call of an answer that begins with one."""
    wanted = item.call if right else item.wrong_call or item.call
    if wanted is None:
        return Draft()
    return Draft(calls=((wanted.name, json.dumps(wanted.arguments, ensure_ascii=False)),))


def answer(item: Item, model: str, *, right: bool, seen: bool, seed: int, turn: int, tokenizer: Tokenizer) -> Draft:
    """The answer in words, about as long as the item says.

    Args:
        item: the question's truth.
        model: who answers.
        right: whether rightly.
        seen: whether the facts stand in the prompt; without them nobody is right.
        seed: the draw of the latents.
        turn: other numbers give the same answer in other words.
        tokenizer: the model's, to measure.
    """
    own = (seed, model, item.id, turn)
    if right and seen:
        lead = item.right[(int(chance("words", *own) * len(item.right)) + turn) % len(item.right)]
    elif not seen and item.unknown and chance("unknown", *own) < OWNED_UP:
        lead = item.unknown
    else:
        lead = item.wrong[int(chance("wrong", *own) * len(item.wrong))]
    parts = [lead]
    size = tokenizer.count(lead)
    start = int(chance("filler", *own) * max(1, len(item.filler)))
    step = 0
    while item.filler and size < item.tokens - 8:
        sentence = item.filler[(start + step) % len(item.filler)]
        parts.append(sentence)
        size += tokenizer.count(sentence)
        step += 1
    gap = "" if item.language == "ja" else " "
    return Draft(text=gap.join(parts))
