"""Sentence vectors that were kept at index time decide what is pruned at request time."""

import subprocess
import sys

import numpy as np

from hapenny.config import load
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.core.passages import STORED_SENTENCES
from hapenny.gateway.gateway import Gateway
from hapenny.retrieval.ingest.manifest import Manifest
from tests.server.house import CONFIG, Scripted

QUESTION = "What does crossing the bridge cost?"
HIDDEN = "Travellers who wish to reach the far side hand two small copper coins to the keeper at his door before noon."
FILLER = [
    "The crossing of the bridge is done on foot & by cart.",
    "Gulls rest upon its northern tower through the winter.",
    "A painter came by every spring to draw the river below.",
    "Lanterns were hung along the railing for the festival.",
    "The masons carved their names beneath the second arch.",
    "Floods took the wooden predecessor away long ago.",
    "Children fish from the steps when the tide is low.",
    "Its stones were brought down the valley on sledges.",
]


def indexed(tmp_path, *flags):
    notes, folder = tmp_path / "notes", tmp_path / "bridge"
    notes.mkdir()
    (notes / "toll.md").write_text("# Bridge\n\n" + " ".join([*FILLER, HIDDEN, *FILLER[::-1]]) + "\n")
    command = [sys.executable, "-m", "hapenny", "index", "build", str(folder), str(notes), "--embedder", "hashed"]
    subprocess.run([*command, *flags], check=True, capture_output=True)
    return folder


async def sent(tmp_path, folder, change=None):
    extra = f"""
collections: {{bridge: {{path: "{folder}"}}}}
stages:
  retrieval: {{collection: bridge}}
  semantic: {{embedder: hashed}}
  prune: {{share: 0.25, floor: 0, seconds: 5}}
"""
    backend = Scripted()
    config = load(text=CONFIG % ("demo, stages: {retrieval: 'on', prune: 'on'}", tmp_path / "ledger.db", extra))
    async with Gateway(config, backends={"simulated": backend}) as gateway:
        if change is not None:
            change(folder, (await gateway.shared.embedder.embed([QUESTION]))[0])
        request = Request(
            protocol="openai",
            model="strong",
            messages=(Message("user", (Text(QUESTION),)),),
            parameters=Parameters(temperature=0.0),
        )
        _, exchange = await gateway.complete(request, Context())
    return backend.asked[-1][0].messages[-1].text, exchange


def pointed(folder, question):
    """Vectors as a good embedder would make them: the hidden sentence means what is asked, no other does."""
    manifest = Manifest(folder / "manifest.sqlite")
    aside = np.zeros_like(question)
    aside[int(np.abs(question).argmin())] = 1.0
    (source,) = manifest.ids()
    for chunk in manifest.chunks(source):
        texts, _ = manifest.sentences(chunk, len(question))
        vectors = np.stack([question if HIDDEN in text else aside for text in texts])
        manifest.put_sentences(chunk, texts, vectors)
    manifest.close()


async def test_kept_sentence_vectors_reach_the_pruner(tmp_path):
    text, exchange = await sent(tmp_path, indexed(tmp_path, "--sentences"), pointed)
    assert HIDDEN in text
    assert FILLER[4] not in text
    kept = exchange.stage_notes[STORED_SENTENCES].passages
    assert any(HIDDEN in passage for passage in kept)
    assert all(len(sentences) == len(vectors) for sentences, vectors in kept.values())


async def test_without_kept_vectors_words_decide(tmp_path):
    text, exchange = await sent(tmp_path, indexed(tmp_path))
    assert STORED_SENTENCES not in exchange.stage_notes
    assert HIDDEN not in text
    assert QUESTION in text
