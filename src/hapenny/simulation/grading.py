"""The judge of simulated answers: what a person who knows the truth would say of them.

The only way out for the latents, and it tells whether an answer is right, never how hard a question is.
"""

from __future__ import annotations

from hapenny.core.messages import Request
from hapenny.simulation.answering import reference
from hapenny.simulation.latents import same
from hapenny.simulation.provider import SimulatedProvider
from hapenny.simulation.request_text import context_of, earlier_of, kind_of, question_of
from hapenny.simulation.workload.truth import Truth


def is_right(request: Request, answer: str, truth: Truth | None = None) -> bool:
    """Whether `answer` is right: by the truth, where it knows the question, else whether it holds the sentence that a
    right answer of the simulator names."""
    if truth is not None and len(truth):
        known = truth.find(question_of(request), earlier_of(request), context_of(request))
        if known is not None:
            return known[0].grade(answer)
    return reference(request) in answer


def would_be_right(provider: SimulatedProvider, model: str, request: Request) -> bool:
    """Whether `model` itself answers `request` rightly: the yardstick of a run with everything off.

    Raises:
        Failure: the provider has no such model.
    """
    simulated, _ = provider.find(model)
    question = question_of(request)
    texts = context_of(request)
    known = provider.truth.find(question, earlier_of(request), texts) if len(provider.truth) else None
    if known is None:
        return provider.latents.right(simulated, kind_of(request, question), same(question), question)
    item, clear = known
    right = provider.latents.right(simulated, item.kind, item.id, question, item.difficulty)
    return right and clear and (item.call is not None or item.stands_in(texts))
