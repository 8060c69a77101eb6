"""Retrieval with routing: a question is as hard as it was asked, and passages go along to whoever answers."""

import subprocess
import sys

import pytest

from hapenny.config import CARD_TIERS
from hapenny.core.errors import Unavailable
from tests.crossing.house import CONFIG, house

TIERS = CARD_TIERS["manga-2024"]
QUESTION = "What does crossing the bridge cost?"
NOTE = """# Bridge

Crossing the bridge costs half a penny. Compare, derive and prove: each of these (a + b) * c; then plan.
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An index of one document."""
    root = tmp_path_factory.mktemp("bridge")
    (root / "notes").mkdir()
    (root / "notes" / "toll.md").write_text(NOTE)
    command = [sys.executable, "-m", "hapenny", "index", "build", str(root / "index"), str(root / "notes")]
    subprocess.run([*command, "--embedder", "hashed"], check=True, capture_output=True)
    return root / "index"


def told(folder, stages, more=""):
    config = CONFIG.replace(
        "embedder: hashed}", "embedder: hashed}, retrieval: {collection: bridge}, cascade: {intents: ['*']}"
    )
    return (
        config.replace("p7}", f"p7, stages: {{{stages}}}}}") + f"collections: {{bridge: {{path: '{folder}'}}}}\n{more}"
    )


def decision(exchange, stage):
    return next(each.decision for each in exchange.decisions if each.stage == stage)


async def test_retrieved_passages_make_no_question_harder(folder):
    scores = []
    for retrieval in ("on", "off"):
        async with house(config=told(folder, f"tiers: on, retrieval: '{retrieval}'")) as there:
            _, exchange = await there.ask(QUESTION, model="auto")
            scores.append(decision(exchange, "tiers").score)
            assert ("half a penny" in there.shop.asked[0][0].messages[-1].text) == (retrieval == "on")
    assert scores[0] == scores[1]


async def test_a_fallback_answers_from_the_same_passages_and_is_kept_with_them(folder):
    def says(request, target):
        return Unavailable("down") if target.model == TIERS["fast"] else "Half a penny [1]."

    config = told(folder, "tiers: on, retrieval: on", "fallbacks: {auto: [strong]}\n")
    config = config.replace("retrieval: {", "throughput: {retry: {tries: 1}}, retrieval: {")
    async with house(says, config) as there:
        _, exchange = await there.ask(QUESTION, model="auto")
        assert there.shop.models == [TIERS["fast"], TIERS["strong"]]
        first, second = (request for request, _ in there.shop.asked)
        assert "half a penny" in first.messages[-1].text
        assert first.messages == second.messages
        assert [cited.number for cited in exchange.answer.citations] == [1]
        (entry,) = there.gateway.admin.explain("", "default", there.gateway.clock.wall())
        (document, version), *_ = entry["evidence"]
        assert {"collection:bridge", f"doc:{document}@{version}"} <= {*entry["tags"]}
        assert entry["model"] == TIERS["strong"]
        assert (await there.ask(QUESTION, model="auto"))[1].cache.hit
        there.gateway.shared.dedup.evidence_changed(document)
        assert not (await there.ask(QUESTION, model="auto"))[1].cache.hit


async def test_every_model_of_a_cascade_reads_the_passages(folder):
    async with house(lambda request, target: target.model, told(folder, "cascade: on, retrieval: on")) as there:
        _, exchange = await there.ask(QUESTION, model="auto")
        assert there.shop.models[-1] == TIERS["strong"]
        assert len(there.shop.asked) == 3
        assert all("half a penny" in request.messages[-1].text for request, _ in there.shop.asked)
        assert exchange.answer.citations
        (entry,) = there.gateway.admin.explain("", "default", there.gateway.clock.wall())
        assert "collection:bridge" in entry["tags"]
