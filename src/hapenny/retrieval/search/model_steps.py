"""The paid helpers of a search: a reranking model, and a fast model that rewrites a question. Both only on request."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Message, Parameters, Request, Text
from hapenny.core.stage import Ask
from hapenny.retrieval.options import RETRIEVAL_STAGE
from hapenny.retrieval.search.collection import Rerank, Rewrite

_REWRITE = (
    "Rewrite the last question so that it can be understood without the conversation, in its own language. Beside a "
    "word of everyday speech put the word that documents use for the same thing. Answer with the question alone."
    "\n\nConversation:\n{history}\n\nLast question: {question}"
)
_TURNS = 6
_LONGEST_ANSWER = 600


class Helpers(msgspec.Struct, frozen=True):
    """What a search may ask for; None is left out."""

    rerank: Rerank | None = None
    rewrite: Rewrite | None = None


def helpers(ask: Ask, exchange: Exchange, model: str | None, rewriter: Target | None, *, reranks: bool) -> Helpers:
    """Helpers whose calls are on `exchange`: the reranker named `model` (or the only one), and `rewriter`."""

    async def rerank(query: str, documents: Sequence[str]) -> Sequence[float]:
        return await ask.rerank(exchange, query, documents, technique=RETRIEVAL_STAGE.name, model=model)

    async def rewrite(query: str, history: Sequence[str], answer: str) -> str:
        assert rewriter is not None
        turns = [f"User: {turn}" for turn in history[-_TURNS:]]
        if answer:
            turns.append(f"Assistant: {answer[:_LONGEST_ANSWER]}")
        asked = Request(
            protocol=exchange.request.protocol,
            model=rewriter.model,
            messages=(Message("user", (Text(_REWRITE.format(history="\n".join(turns), question=query)),)),),
            parameters=Parameters(max_tokens=80),
        )
        given = await ask.model(exchange, asked, rewriter, purpose="rerank", technique=RETRIEVAL_STAGE.name)
        return (await given.collect()).text.strip()

    return Helpers(rerank if reranks else None, rewrite if rewriter is not None else None)
