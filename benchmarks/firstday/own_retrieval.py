"""Whether the books are right about passages that our own retrieval adds: what they say the application would have
paid, against what an application that searches by itself really pays.

The questions of the RAG customer come bare. One gateway puts passages beside them, once for each way to state what the
application would have sent (`baseline_passages`): left out, five, none. Against each stands a run with every stage off
in which the application sends those passages by itself, over the same messages in the same hidden world.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.firstday.customers import customers
from benchmarks.firstday.deployment import CARD
from hapenny.config import STAGES, Config, load
from hapenny.core.clock import RealClock
from hapenny.core.messages import Request
from hapenny.core.passages import beside
from hapenny.retrieval.chunking import Chunking
from hapenny.retrieval.documents import Document
from hapenny.retrieval.folder import Folder
from hapenny.retrieval.ingest import Ingest
from hapenny.retrieval.options import RetrievalOptions
from hapenny.retrieval.search.collection import Collection
from hapenny.retrieval.stage import rendered
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.workload.shoppers import Message
from hapenny.studies.virtual_run import run
from hapenny.vectors.hashed import HashedEmbedder

WAYS: dict[str, int | None] = {"left out": None, "five": 5, "none": 0}


def compared(count: int) -> dict[str, dict[str, float]]:
    """By way, over the first `count` messages of the RAG customer: `without` (what the books say would have been paid,
    over what the application that searches by itself pays), `retrieval` (its saving as a share of that), `saved`."""
    [rag] = [each for each in customers(max(60, count // 4), weeks=1) if each.name == "rag"]
    # First questions: what a follow-up refers to is searched for otherwise by each application.
    messages = [message for message in rag.messages if not message.earlier][:count]
    results = {}
    with tempfile.TemporaryDirectory() as place:
        texts = _built(Path(place) / "shop", messages)
        for name, passages in WAYS.items():
            config = _config(Path(place) / "shop", passages)
            ours = run(messages, rag.shop, config=config, card=CARD, latents=3, model="strong")
            alone = run(
                messages, rag.shop, config=_config(None, None), card=CARD, latents=3, model="strong",
                shape=_beside(texts, passages),
            )  # fmt: skip
            without = sum((record.actual or 0) + (record.saved or 0) for record in ours.records)
            booked = sum(record.savings.get("retrieval", 0) for record in ours.records)
            results[name] = {
                "without": round(without / alone.bill, 4),
                "retrieval": round(booked / alone.bill, 4),
                "saved": round(1 - ours.bill / alone.bill, 4),
            }
    return results


def _built(folder: Path, messages: Sequence[Message]) -> dict[str, tuple[str, str]]:
    """Builds the collection of all passages; of each question's text the passages that an application which searches it
    would send: those that the collection's own selection lets pass, and the best five."""
    texts = dict.fromkeys(text for message in messages for text in message.documents)
    documents = [Document(id=str(number), text=text) for number, text in enumerate(texts)]
    opened = Folder(folder, HashedEmbedder(), "en")
    manifest = opened.manifest()

    async def work() -> dict[str, tuple[str, str]]:
        await Ingest(opened.store, opened.embedder, manifest, Chunking()).run(documents)
        manifest.commit()
        collection = Collection("shop", opened.retriever(), RealClock())
        instruction = RetrievalOptions().instruction
        searched = {}
        for question in dict.fromkeys(message.text for message in messages):
            found = await collection.search(question, opened.embedder.embed, listed=5)
            searched[question] = (
                rendered(found.hits, instruction) if found.hits else "",
                rendered(found.listed, instruction) if found.listed else "",
            )
        return searched

    try:
        return asyncio.run(work())
    finally:
        manifest.close()
        opened.close()


def _beside(texts: dict[str, tuple[str, str]], passages: int | None) -> Callable[[Message, Request], Request]:
    def shape(message: Message, request: Request) -> Request:
        text = "" if passages == 0 else texts[message.text][0 if passages is None else 1]
        return beside(request, text) if text else request

    return shape


def _config(folder: Path | None, passages: int | None) -> Config:
    """Nothing on but retrieval (with a folder) before a simulated provider."""
    stages = {spec.name: "off" for spec in STAGES} | ({"retrieval": "on"} if folder is not None else {})
    text: dict[str, object] = {
        "backends": {"simulated": {"kind": "simulated", "card": CARD}},
        "tiers": LINEUPS[CARD].tiers(),
        "routes": {"default": {"baseline": "strong", "stages": stages, "holdout": 0.0}},
        "ledger": None,
    }
    if folder is not None:
        text |= {
            "collections": {"shop": {"path": str(folder)}},
            "stages": {
                "retrieval": {"collection": "shop", "baseline_passages": passages, "seconds": 5},
                "semantic": {"embedder": "hashed"},
            },
        }
    return load(text=json.dumps(text))
