"""Parameter sets through the running gateway: chosen by intent, sized by what was learned, reported when changed."""

import aiohttp
import pytest

from tests.server.house import SONNET, Scripted, serving

EXTRA = """
models: {opus: {id: anthropic.claude-opus-4-7}}
stages:
  parameters:
    use_sets: true
    sets: {rush: {temperature: 0.2, top_k: 40, latency: optimized, service_tier: priority, length: short}}
    by_intent: {support: rush}
"""


async def sent(tmp_path, intent, model=SONNET, body=None, teach=None):
    """What reached the model, and the notes in the answer's headers."""
    backend = Scripted()
    async with serving(tmp_path, backend, extra=EXTRA) as (url, app), aiohttp.ClientSession() as session:
        for tokens in teach or ():
            app.gateway.shared.sizes.learn(intent, tokens)
        asked = {"model": model, "messages": [{"role": "user", "content": "What does volume 60 cost?"}], **(body or {})}
        headers = {"x-hapenny-intent": intent}
        async with session.post(url + "/v1/chat/completions", json=asked, headers=headers) as answer:
            assert answer.status == 200
            return backend.asked[0][0].parameters, answer.headers.get("x-hapenny-notes", "")


@pytest.mark.parametrize(
    ("intent", "temperature", "most"),
    [
        ("extraction", 0.0, 512),
        ("classification", 0.0, 64),
        ("summarization", 0.3, 1024),
        ("creative", 0.85, 4096),
        ("code", 0.2, 4096),
        ("chat", 0.5, 1024),
    ],
)
async def test_each_use_case_gets_its_set(tmp_path, intent, temperature, most):
    found, _ = await sent(tmp_path, intent)
    assert (found.temperature, found.top_p, found.max_tokens) == (temperature, None, most)


async def test_length_becomes_the_size_that_was_learned(tmp_path):
    found, _ = await sent(tmp_path, "summarization", teach=[200] * 500)
    assert 200 <= found.max_tokens <= 300


async def test_the_client_goes_first_and_other_intents_are_left_alone(tmp_path):
    found, _ = await sent(tmp_path, "creative", body={"temperature": 0.1, "max_tokens": 7})
    assert (found.temperature, found.max_tokens) == (0.1, 7)
    found, _ = await sent(tmp_path, "weather")
    assert (found.temperature, found.max_tokens) == (None, None)


async def test_a_set_of_ones_own_says_top_k_latency_and_service_tier(tmp_path):
    found, _ = await sent(tmp_path, "support")
    assert (found.temperature, found.top_k, found.max_tokens) == (0.2, 40, 64)


async def test_what_a_model_refuses_is_translated_and_told(tmp_path):
    found, notes = await sent(tmp_path, "extraction", model="opus")
    assert found.temperature is None
    assert found.effort == "low"
    assert "temperature" in notes
