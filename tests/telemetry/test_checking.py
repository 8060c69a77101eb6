"""Seeded by the provider's own count, a new model is priced well from its second request on."""

import pytest

from hapenny.config import load
from hapenny.core.messages import Message, Request, Text
from hapenny.gateway.gateway import Gateway
from tests.settling import settled

TEXT = "Đơn hàng của bạn đã được gửi đi hôm qua và sẽ đến trong vòng ba ngày, xin vui lòng chờ thêm một chút. " * 8


def request(gateway):
    model = gateway.names.tiers["strong"].model
    return Request(protocol="anthropic", model=model, messages=(Message("user", (Text(TEXT),)),))


@pytest.mark.parametrize("seed", [True, False])
async def test_a_new_model_is_seeded_off_the_path(seed):
    async with Gateway(load(text=f"ledger: null\ncounting: {{seed: {str(seed).lower()}}}")) as gateway:
        asked = request(gateway)
        _, exchange = await gateway.complete(asked)
        await settled(gateway)
        assert gateway.recorder.checks.seeded == int(seed)
        target = exchange.adopted.target
        learned = gateway.books.prices.place(target).prompts.learned
        assert (learned >= 40) == seed
        await gateway.complete(asked)
        await settled(gateway)
        assert gateway.recorder.checks.seeded == int(seed)  # once


async def test_audits_show_in_the_metrics_how_far_estimates_are_off():
    async with Gateway(load(text="ledger: null\ncounting: {audit_share: 1.0}")) as gateway:
        for _ in range(3):
            await gateway.complete(request(gateway))
        await settled(gateway)
        text = gateway.recorder.metrics.render().decode()
    assert "hapenny_count_audits_total 3.0" in text
    ratio = next(line for line in text.splitlines() if line.startswith("hapenny_count_audit_error_ratio"))
    assert 0 <= float(ratio.split()[1]) < 0.05  # the calls themselves have taught it by then


async def test_prompt_tokens_are_told_by_tenant_feature_model_and_part():
    async with Gateway(load(text="ledger: null")) as gateway:
        await gateway.complete(request(gateway))
        text = gateway.recorder.metrics.render().decode()
    lines = [line for line in text.splitlines() if line.startswith("hapenny_prompt_tokens_total{")]
    assert any('part="user"' in line and 'tenant="default"' in line for line in lines)
