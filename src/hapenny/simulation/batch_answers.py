"""What a simulated model answers to a record of a batch job, in both record formats, and to an embedding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from hapenny.core.errors import Failure
from hapenny.core.events import Collector
from hapenny.protocols.registry import codec
from hapenny.simulation.provider import SimulatedProvider
from hapenny.vectors.hashed import HashedEmbedder

EMBEDDER = "embed"
"""Part of the name of models that answer `inputText` with a vector; what it costs is not simulated."""

_HASHED = HashedEmbedder(256)


def answers(
    provider: SimulatedProvider, region: str = "us-east-1"
) -> Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]:
    """The answer to a job's input (`fleet_jobs.FolderJobs`), billed by `provider` as batch."""

    def answer(job: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        model = str(job["modelId"]).rsplit("/", 1)[-1]
        if EMBEDDER in model:
            return embedding(body)
        dialect = codec("bedrock" if job["form"] == "Converse" else "invoke")
        request = dialect.decode_request(msgspec.json.encode(body), model=model, stream=False, headers={})
        collector = Collector()
        for event in provider.batched(request, model, region=region):
            collector.feed(event)
        found: dict[str, Any] = msgspec.json.decode(dialect.encode_answer(collector.finish(), request))
        return found

    return answer


def embedding(body: dict[str, Any]) -> dict[str, Any]:
    """A vector in Titan's form. Raises `Failure`, if there is no text."""
    text = body.get("inputText")
    if not isinstance(text, str) or not text:
        raise Failure("invalid_request", "inputText is missing", field="inputText", fix="send a text")
    vector = _HASHED.encode([text])[0]
    return {"embedding": [round(float(x), 6) for x in vector], "inputTextTokenCount": len(text) // 4 + 1}
