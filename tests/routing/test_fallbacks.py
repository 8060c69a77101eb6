"""Fallbacks inside a whole gateway: who answers where a model cannot, whatever is switched on."""

import msgspec
import pytest

from hapenny.catalog import resolve
from hapenny.config import CARD_TIERS, PRESETS
from hapenny.core.errors import Failure, Unavailable, account_refused
from hapenny.core.messages import Document, Image, Message, Parameters, Request, Text, Tool
from hapenny.routing.abilities import lacking, needs
from tests.crossing.house import CONFIG, asking, house

TIERS = CARD_TIERS["current-2026"]
ONE_TRY = "stages: {semantic: {embedder: hashed}, throughput: {retry: {tries: 1}}}"
MODES = {
    "safe": "",
    "balanced": "preset: balanced, ",
    "everything off": f"stages: {dict.fromkeys(PRESETS['safe'], 'off')}, ",
    "holdout": "holdout: 1, ",
}
FAILURES = {
    "throttle": Failure("rate_limited", "slow down", upstream_status=429),
    "outage": Unavailable("down"),
    "spent account": account_refused("add credit", upstream_status=402),
    "too long": Failure("context_overflow", "prompt is too long", upstream_status=400),
    "filter": Failure("invalid_request", "blocked", upstream_status=400, filtered=True),
    "gone": Failure("not_found", "no such model", upstream_status=404),
}


def told(fallbacks, route="", stages=ONE_TRY):
    holdout = "" if "holdout" in route else "holdout: 0, "
    return (
        CONFIG.replace("stages: {semantic: {embedder: hashed}}", stages)
        .replace("holdout: 0, ", route + holdout)
        .replace("kind: simulated}", "kind: simulated, card: current-2026}")
        + f"fallbacks: {fallbacks}\n"
    )


def failing(*models, how=FAILURES["outage"]):
    return lambda request, target: how if target.model in models else "Half a penny."


@pytest.mark.parametrize("how", FAILURES)
@pytest.mark.parametrize("mode", MODES)
async def test_a_fallback_answers_in_every_mode_whatever_failed(mode, how):
    says = failing(TIERS["strong"], how=FAILURES[how])
    async with house(says, told("{strong: [fast]}", MODES[mode])) as there:
        text, exchange = await there.ask(model="strong", user="u")
        assert text == "Half a penny."
        assert exchange.target.model == TIERS["fast"]
        assert f"fallback={TIERS['fast']}" in exchange.notes


async def test_a_wrong_request_is_asked_of_nobody_else():
    wrong = Failure("invalid_request", "top_p: 7", upstream_status=400)
    async with house(failing(TIERS["strong"], how=wrong), told("{strong: [fast]}")) as there:
        with pytest.raises(Failure, match="top_p"):
            await there.ask(model="strong")
        assert there.shop.models == [TIERS["strong"]]


async def test_where_nobody_answers_the_client_reads_what_the_model_asked_for_said():
    def says(request, target):
        return Failure("rate_limited", f"{target.model} is busy", upstream_status=429)

    async with house(says, told("{strong: [fast, balanced]}")) as there:
        with pytest.raises(Failure, match=TIERS["strong"]):
            await there.ask(model="strong")
        assert there.shop.models == [TIERS["strong"], TIERS["fast"], TIERS["balanced"]]


async def test_retries_leave_a_call_to_each_fallback():
    stages = "stages: {semantic: {embedder: hashed}, throughput: {retry: {tries: 3, base_s: 0, jitter_s: 0}}}"
    says = failing(TIERS["strong"], TIERS["fast"])
    async with house(says, told("{strong: [fast, balanced]}", stages=stages)) as there:
        text, exchange = await there.ask(model="strong")
        assert text == "Half a penny."
        assert len(exchange.calls) <= 4
        assert there.shop.models[-1] == TIERS["balanced"]


@pytest.mark.parametrize(("asked", "fallbacks"), [("auto", "strong"), ("strong", TIERS["strong"]), ("best", "strong")])
async def test_what_is_said_of_a_tier_holds_under_all_its_names(asked, fallbacks):
    config = told(f'{{"{fallbacks}": [fast]}}') + "aliases: {best: strong}\n"
    if fallbacks not in ("strong",):
        config += f'models: {{"{fallbacks}": {{id: "{fallbacks}"}}}}\n'
    async with house(failing(TIERS["strong"]), config) as there:
        _, exchange = await there.ask(model=asked)
        assert exchange.target.model == TIERS["fast"]


PICTURE = Message("user", (Text("What is on it?"), Image("image/png", b"\x89PNG")))
BLIND = "us.meta.llama3-3-70b-instruct-v1:0"


def blind(tiers="'on'"):
    route = f"stages: {{tiers: {tiers}}}, "
    return told("{}", route) + f'tiers: {{fast: "{BLIND}", strong: "{TIERS["strong"]}"}}\n'


@pytest.mark.parametrize("tiers", ["'on'", "shadow", "'off'"])
async def test_a_picture_goes_to_a_model_that_sees(tiers):
    config = blind(tiers).replace("holdout: 0", "baseline: fast, holdout: 0")
    async with house(config=config) as there:
        await there.ask(model="auto", messages=(PICTURE,))
        assert there.shop.models == [TIERS["strong"]]


async def test_who_names_a_model_gets_that_one_whatever_it_lacks():
    async with house(config=blind()) as there:
        _, exchange = await there.ask(model="fast", messages=(PICTURE,))
        assert exchange.target.model == BLIND


async def test_a_fallback_that_lacks_what_is_needed_is_passed_over():
    config = blind().replace("fallbacks: {}", "fallbacks: {strong: [fast]}")
    async with house(failing(TIERS["strong"]), config) as there:
        with pytest.raises(Failure, match="down"):
            await there.ask(model="strong", messages=(PICTURE,))
        assert there.shop.models == [TIERS["strong"]]


def test_what_a_request_needs():
    plain = asking()
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    assert needs(plain) == frozenset()
    assert needs(msgspec.structs.replace(plain, tools=(Tool("look"),))) == {"tools"}
    assert needs(msgspec.structs.replace(plain, parameters=Parameters(format=form))) == {"json_schema"}
    assert needs(msgspec.structs.replace(plain, messages=(PICTURE,))) == {"vision"}


def test_a_prompt_longer_than_the_window_needs_another_model():
    card = resolve("us.anthropic.claude-haiku-4-5-20251001-v1:0")
    long = asking("word " * 200_000)
    assert lacking(card, long, lambda: 200_001) == ("room",)
    assert lacking(card, long, lambda: 150_000) == ()
    assert lacking(card, asking(), lambda: pytest.fail("counted a short prompt")) == ()


def test_of_a_model_that_nobody_knows_only_sight_is_doubted():
    assert lacking(None, asking(tools=(Tool("look"),)), lambda: 1) == ()
    assert lacking(None, asking(messages=(PICTURE,)), lambda: 1) == ("vision (unknown)",)


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        (Document(media_type="application/pdf", data=b"%PDF"), {"pdf"}),
        (Document(url="https://example.com/terms.pdf"), {"pdf"}),
        (
            Document(media_type="application/vnd.openxmlformats-officedocument.wordprocessingml.document", data=b"PK"),
            {"pdf"},
        ),
        (Document(media_type="text/plain", data=b"words"), set()),
        (Document(text="words"), set()),
        (Document(content=({"type": "text", "text": "words"},)), set()),
    ],
)
def test_a_document_that_is_no_text_goes_to_who_reads_documents(document, wanted):
    request = Request(protocol="anthropic", model="auto", messages=(Message("user", (document, Text("sum it up"))),))
    assert needs(request) == wanted
