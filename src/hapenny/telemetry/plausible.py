"""Whether a provider's report of usage can be true, by what was asked and what came.

A report goes into books, quotas and what is learnt of tokens: one that is off by orders of magnitude would close a
quota for hours, or not even fit into the ledger. One that cannot be true is left out, and the call is estimated.

Output is held against `max_tokens` (for each choice asked for) and what was streamed, or against the model's longest
answer; prompts against the model's context. All bounds are generous: counts of hidden reasoning, of images and of
tools that run at the provider are legitimately larger than what we see.
"""

from __future__ import annotations

from hapenny.catalog.card import Card
from hapenny.core.calls import Call
from hapenny.core.events import Tokens

LONGEST_PROMPT = 10_000_000
"""Tokens of the largest context any provider offers, for models whose context is not known."""
LONGEST_ANSWER = 1_000_000
"""Likewise of an answer."""
TIMES = 4
"""How far beyond a stated limit a report is still taken."""
SLACK = 4_096
"""Tokens beyond it that never make a report wrong."""


def plausible(call: Call, tokens: Tokens, card: Card | None) -> bool:
    """Whether `tokens` may be what `call` used."""
    prompt = card.context_window * TIMES if card is not None and card.context_window else LONGEST_PROMPT
    return 0 <= tokens.prompt <= prompt + SLACK and 0 <= tokens.output <= _output(call, card) * TIMES + SLACK


def _output(call: Call, card: Card | None) -> int:
    """Tokens that its answer may have by what was asked, or has by what came."""
    most = card.max_output if card is not None and card.max_output else LONGEST_ANSWER
    request = call.request
    if request is None:
        return most
    times = max(1, request.parameters.n or 1)
    asked = request.parameters.max_tokens or most
    came = sum(map(len, call.output))  # a token is at least a byte; characters are close enough
    return max(min(asked, LONGEST_ANSWER) * min(times, 128), came)
