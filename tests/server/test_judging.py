"""Feedback and the routing decision alone, over HTTP."""

import aiohttp
import msgspec
import numpy as np

from hapenny.routing.certificates import Fingerprint, certify
from hapenny.routing.intents.features import extract
from hapenny.routing.router import Trained
from hapenny.routing.scorer import Reader, fit
from hapenny.routing.training import save_router
from hapenny.telemetry.summary import summarise
from tests.routing.test_scorer import traffic
from tests.server.house import Scripted, serving

KEYS = "keys: [{key: key-of-ann, tenant: ann}, {key: key-of-bob, tenant: bob}]"
ANN, BOB = {"Authorization": "Bearer key-of-ann"}, {"Authorization": "Bearer key-of-bob"}
EASY = "hello there how is the weather blue river cat"
HAIKU, SONNET = "anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-sonnet-20240229-v1:0"


async def post(session, url, body, headers=None):
    async with session.post(url, json=body, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers


async def test_feedback_becomes_the_requests_quality_for_its_own_tenant_alone(tmp_path):
    body = {"model": "strong", "messages": [{"role": "user", "content": "What is half a penny?"}]}
    async with serving(tmp_path, Scripted(), extra=KEYS) as (url, app), aiohttp.ClientSession() as session:
        _, _, headers = await post(session, url + "/v1/chat/completions", body, ANN)
        mine = headers["x-request-id"]
        to = url + "/v1/feedback"
        status, said, _ = await post(session, to, {"request_id": mine, "thumbs": "down", "corrected": "0.5 p"}, ANN)
        assert (status, said["score"], said["corrected_kept"]) == (200, 0.0, False)
        assert (await post(session, to, {"request_id": mine, "score": 1.0, "source": "editor"}, ANN))[0] == 200
        assert (await app.gateway.ledger.get(mine)).scores["quality"] == 0.5
        await app.gateway.ledger.flush()
        async with session.get(f"{url}/v1/requests/{mine}", headers=ANN) as answer:
            assert (await answer.json())["scores"]["quality"] == 0.5
        # the newest verdict of a source counts, and nobody else may judge
        assert (await post(session, to, {"request_id": mine, "thumbs": "up"}, ANN))[0] == 200
        await app.gateway.ledger.flush()
        assert (await app.gateway.ledger.get(mine)).scores["quality"] == 1.0
        assert (await post(session, to, {"request_id": mine, "thumbs": "down"}, BOB))[0] == 404
        assert (await post(session, to, {"request_id": mine}, ANN))[0] == 400
        assert (await post(session, to, {"request_id": mine, "score": 3}, ANN))[0] == 400


def router_file(path, **about):
    prompts, weak, strong, _ = traffic(500)
    scorer = fit(prompts, weak, strong, version="1")
    fresh, weak, strong, _ = traffic(800, seed=4)
    scores = [Reader(scorer).gain(extract(p)) for p in fresh]
    named = Fingerprint(
        **{"route": "default", "intent": "", "weak": HAIKU, "strong": SONNET, "router_version": "1", **about}
    )
    promise = certify(named, scores, np.maximum(strong - weak, 0), max_quality_loss=0.05, dated=0.0)
    path.write_bytes(save_router(Trained(weak="fast", strong="strong", scorer=scorer, certificates=(promise,))))
    return path


async def chosen(tmp_path, file, more=""):
    extra = f"stages: {{tiers: {{trained: {file}}}}}\n{more}"
    async with serving(tmp_path, extra=extra) as (url, _), aiohttp.ClientSession() as session:
        select = (await post(session, url + "/v1/select", {"text": EASY}))[1]
        asked = {"model": "auto", "messages": [{"role": "user", "content": EASY}]}
        _, _, headers = await post(session, url + "/v1/chat/completions", asked)
        assert headers["x-hapenny-model"] == select["model"]
        return select["tier"], headers.get("x-hapenny-certificate")


async def test_a_certificate_holds_for_the_models_prices_and_prompts_it_is_about(tmp_path):
    tier, certificate = await chosen(tmp_path, router_file(tmp_path / "r"))
    assert tier == "fast"
    assert "confidence=0.95" in certificate
    extra = f"stages: {{tiers: {{trained: {tmp_path / 'r'}}}}}"
    async with serving(tmp_path, extra=extra) as (url, _), aiohttp.ClientSession() as session:
        answer = await session.get(url + "/v1/certificates")
        found = (await answer.json())["certificates"]
    assert [(one["state"], one["certificate"]["max_quality_loss"]) for one in found] == [("in force", 0.05)]
    promise = summarise(str(tmp_path / "ledger.db")).certificates[0]
    assert (promise.route, promise.requests, promise.certificate) == ("default", 1, certificate)
    assert (await chosen(tmp_path, router_file(tmp_path / "r", weak="fast", strong="strong")))[0] == "fast"


async def test_another_model_price_or_prompt_version_voids_it(tmp_path):
    for about in ({"weak": SONNET}, {"prices": "last year's"}, {"prompt_version": "old"}, {"router_version": "0"}):
        assert await chosen(tmp_path, router_file(tmp_path / "r", **about)) == ("strong", None), about


async def test_select_refuses_what_it_does_not_know(tmp_path):
    async with serving(tmp_path) as (url, _), aiohttp.ClientSession() as session:
        assert (await post(session, url + "/v1/select", {"words": "x"}))[0] == 400
        assert (await post(session, url + "/v1/select", {"text": "x", "route": "nowhere"}))[0] == 403
        found = (await post(session, url + "/v1/select", {"text": "Hello"}))[1]
        assert msgspec.json.encode(found)
        assert found["tier"] == "fast"


async def test_an_arms_thresholds_route_its_sessions(tmp_path):
    file = tmp_path / "arms.json"
    arms = {"control": {}, "careful": {"settings": {"tiers.strong_from": 0.0}}}
    file.write_bytes(msgspec.json.encode([{"name": "e", "arms": arms}]))
    extra = f"stages: {{arms: {{file: {file}}}}}"
    body = {"model": "auto", "messages": [{"role": "user", "content": EASY}]}
    async with serving(tmp_path, Scripted(), extra=extra) as (url, app), aiohttp.ClientSession() as session:
        served = {}
        for number in range(12):
            who = {"x-hapenny-session": f"s{number}"}
            _, _, headers = await post(session, url + "/v1/chat/completions", body, who)
            row = await app.gateway.ledger.get(headers["x-request-id"])
            served.setdefault(row.arms["e"], set()).add(headers["x-hapenny-model"])
        assert served == {"control": {HAIKU}, "careful": {SONNET}}
