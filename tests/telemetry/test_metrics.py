"""What labels of `/metrics` stand for when clients choose them."""

import pytest

from hapenny.config import CARD_TIERS
from hapenny.core.errors import Failure
from hapenny.core.messages import Context
from hapenny.telemetry.metrics import FEATURES_A_TENANT
from tests.crossing.house import CONFIG, asking, house

TIERS = CARD_TIERS["manga-2024"]
CONFIGURED = CONFIG + "default_backend: simulated\n"


async def lines(there, name):
    return [line for line in there.gateway.recorder.metrics.render().decode().splitlines() if line.startswith(name)]


async def ask(there, tenant="shop", feature="checkout", model="fast", text="When?"):
    await there.gateway.complete(asking(text, model=model), Context(tenant=tenant, feature=feature))


async def test_invented_features_of_one_tenant_take_nothing_from_another():
    async with house(config=CONFIGURED) as there:
        for number in range(FEATURES_A_TENANT + 30):
            await ask(there, "noisy", f"junk-{number}", text=f"When {number}?")
        await ask(there)
        found = await lines(there, "hapenny_prompt_tokens_total")
    noisy = {line.split('feature="')[1].split('"')[0] for line in found if 'tenant="noisy"' in line}
    assert len(noisy) == FEATURES_A_TENANT + 1
    assert "other" in noisy
    assert any('tenant="shop"' in line and 'feature="checkout"' in line for line in found)
    assert not any('tenant="other"' in line for line in found)


async def test_a_model_that_nobody_knows_makes_no_series():
    def says(request, target):
        if target.model.startswith("made-up"):
            return Failure("not_found", "no such model", upstream_status=404)
        return "At nine."

    config = CONFIGURED.replace("kind: simulated", "kind: openai, base_url: 'http://127.0.0.1:9/v1'")
    config += f"tiers: {{fast: '{TIERS['fast']}', strong: '{TIERS['strong']}'}}\n"
    async with house(says, config) as there:
        for number in range(20):
            with pytest.raises(Failure):
                await ask(there, model=f"made-up-{number}")
        await ask(there, model="answers-though-unknown")
        page = there.gateway.recorder.metrics.render().decode()
    assert "made-up" not in page
    assert 'hapenny_calls_total{model="other",outcome="failed",purpose="serve"} 20.0' in page
    assert "answers-though-unknown" in page


async def test_a_configured_model_that_never_answers_has_its_series():
    async with house(lambda request, target: Failure("overloaded", "down"), CONFIGURED) as there:
        with pytest.raises(Failure):
            await ask(there)
        assert any(TIERS["fast"] in line for line in await lines(there, "hapenny_calls_total"))
