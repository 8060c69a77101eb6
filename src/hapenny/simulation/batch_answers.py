"""What a simulated model answers to a record of a batch job, in both record formats, and to an embedding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from hapenny.catalog import Card, resolve
from hapenny.core.errors import Failure
from hapenny.core.events import Collector, Tokens
from hapenny.protocols.registry import codec
from hapenny.simulation.provider import SimulatedProvider
from hapenny.simulation.tokenizer import tokenizer
from hapenny.vectors.hashed import HashedEmbedder


def answers(
    provider: SimulatedProvider, region: str = "us-east-1"
) -> Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]:
    """The answer to a job's input (`fleet_jobs.FolderJobs`), billed by `provider` as batch."""

    def answer(job: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        model = str(job["modelId"]).rsplit("/", 1)[-1]
        card = resolve(model)
        if card is not None and card.kind == "embedding":
            return _embedding(provider, card, model, body, region)
        dialect = codec("bedrock" if job["form"] == "Converse" else "invoke")
        request = dialect.decode_request(msgspec.json.encode(body), model=model, stream=False, headers={})
        collector = Collector()
        for event in provider.batched(request, model, region=region):
            collector.feed(event)
        fields: dict[str, Any] = msgspec.json.decode(dialect.encode_answer(collector.finish(), request))
        return fields

    return answer


def _embedding(
    provider: SimulatedProvider, card: Card, called: str, body: dict[str, Any], region: str
) -> dict[str, Any]:
    """A vector in Titan's form."""
    text = body.get("inputText")
    if not isinstance(text, str) or not text:
        raise Failure("invalid_request", "inputText is missing", field="inputText", fix="send a text")
    tokens = tokenizer(card.tokenizer).count(text)
    id = provider.clock.new_id("emb_sim_")
    provider.bill.add(
        id=id, model=card.id, called=called, region=region, service_tier="batch", tokens=Tokens(input=tokens),
        outcome="complete", at=provider.clock.wall(),
    )  # fmt: skip
    vector = HashedEmbedder(int(body.get("dimensions") or card.dimensions or 1024)).encode([text])[0]
    return {"embedding": vector.tolist(), "inputTextTokenCount": tokens}
