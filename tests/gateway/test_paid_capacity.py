"""Capacity that is paid by the hour: its calls cost nothing, its bill stands in the books as a negative saving."""

import asyncio

import pytest

from hapenny.config import load
from hapenny.config.problems import ConfigError
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.simulation.loop import clock, run
from hapenny.telemetry.summary import summarise
from tests.server.house import Scripted

SONNET = "anthropic.claude-3-sonnet-20240229-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl"
HOUR = 3_600.0


def config(path, models, more=""):
    return load(
        text=f"""
backends: {{simulated: {{kind: simulated}}}}
ledger: {{path: "{path}"}}
models: {models}
tiers: {{strong: big}}
routes: {{default: {{preset: safe, holdout: 0, baseline: strong}}}}
{more}
"""
    )


async def ask(gateway, model="strong", text="What is the toll?"):
    request = Request(
        protocol="openai",
        model=model,
        messages=(Message("user", (Text(text),)),),
        parameters=Parameters(temperature=0.7),
    )
    return await gateway.complete(request, Context())


def served(path, models, seconds=60.0, requests=1, more="", model="strong", restarts=0):
    """Serves for `seconds` of the simulated clock, a request every so often; returns the ledger in sum."""

    async def main():
        for _ in range(restarts + 1):
            async with Gateway(
                config(path, models, more), clock=clock(), backends={"simulated": Scripted()}
            ) as gateway:
                for number in range(requests):
                    await ask(gateway, model, f"question {number}")
                    await asyncio.sleep(seconds / requests)

    run(main())
    return summarise(path)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "ledger.db")


def test_the_bill_stands_against_what_its_calls_would_have_cost(path):
    summary = served(path, f"{{big: {{id: '{SONNET}', provisioned: true, hourly_usd: 24.5}}}}", requests=3)
    [technique] = [each for each in summary.techniques if each.name == "provisioned"]
    assert summary.capacity == 24_500_000_000
    assert technique.saved == summary.baseline - summary.capacity < 0
    assert summary.baseline > 0
    assert summary.actual == summary.capacity
    assert (summary.unpriced_rows, summary.identity_violations) == (0, 0)


def test_each_hour_that_begins_is_booked_once_whatever_is_restarted(path):
    models = f"{{big: {{id: '{SONNET}', provisioned: true, hourly_usd: 2}}}}"
    long = served(path, models, seconds=2.5 * HOUR)
    hours = long.capacity // 2_000_000_000
    assert hours in (3, 4)  # as the clock began within an hour
    again = served(path, models, seconds=1.0, restarts=2)
    assert again.capacity == long.capacity  # the simulated clock begins at the same time again


def test_reload_within_the_hour_pays_once(path):
    async def main():
        options = config(path, f"{{big: {{id: '{SONNET}', hourly_usd: 1.25}}}}")
        old = Gateway(options, clock=clock(), backends={"simulated": Scripted()})
        await old.start()
        await asyncio.sleep(10)
        new = Gateway(options, backends={"simulated": Scripted()}, previous=old)
        await new.start()
        await old.aclose(successor=new)
        await asyncio.sleep(10)
        scraped = new.recorder.metrics.render().decode()
        await new.aclose()
        return scraped

    scraped = run(main())
    assert summarise(path).capacity == 1_250_000_000
    assert 'hapenny_cost_dollars_total{model="models.big"} 1.25' in scraped
    assert 'hapenny_saved_dollars{technique="owned"} -1.25' in scraped


def test_capacity_whose_bill_nobody_said_saves_nothing_that_is_known(path):
    summary = served(path, f"{{big: {{id: '{SONNET}', provisioned: true}}}}")
    assert summary.unpriced_rows == 1
    assert (summary.saved, summary.capacity) == (0, 0)


def test_an_arn_is_priced_as_the_model_it_is_said_to_be(path):
    summary = served(path, f"{{big: {{id: '{ARN}', card: '{SONNET}', provisioned: true, hourly_usd: 0}}}}")
    assert summary.unpriced_rows == 0
    assert summary.by_technique == {"provisioned": summary.baseline}
    assert summary.baseline > 0


def test_calls_that_spill_to_on_demand_are_paid_as_such(path):
    more = (
        f"stages: {{throughput: {{models: {{'{SONNET}': {{endpoints: ["
        "{name: own, service_tier: provisioned, hourly_usd: 3, quota: {requests_per_minute: 1}}, {name: spill}]}}}}"
    )
    summary = served(path, f"{{big: {{id: '{SONNET}'}}}}", requests=4, seconds=8.0, more=more)
    assert 0 < summary.actual - summary.capacity < summary.baseline
    assert summary.by_technique["provisioned"] < 0  # a few answers do not pay an hour
    assert summary.identity_violations == 0


def test_a_model_that_stands_for_none_of_the_catalog_is_refused(path):
    async def main():
        Gateway(config(path, f"{{big: {{id: '{ARN}', card: no-such-model}}}}"), clock=clock())

    with pytest.raises(ConfigError, match="no-such-model"):
        run(main())


def test_a_bill_below_nothing_is_refused(path):
    with pytest.raises(ConfigError, match="hourly_usd"):
        config(path, f"{{big: {{id: '{SONNET}', hourly_usd: -1}}}}")
