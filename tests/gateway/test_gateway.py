"""The gateway as a library, and what a reload inherits."""

import asyncio

import pytest

import hapenny
from hapenny.catalog.naming import public_name
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.routing.names import LONGEST
from tests.server.house import Scripted

CONFIG = """
backends: {simulated: {kind: simulated}}
ledger: %s
fingerprint_key: a-secret-of-these-tests
counters: %s
routes: {default: {preset: safe, holdout: 0, knowledge_epoch: "%s"%s}}
%s
"""


def config(ledger="null", *, counters="memory", epoch="", route="", more=""):
    return hapenny.load(text=CONFIG % (ledger, counters, epoch, route, more))


def question(text="What is the toll?", model="strong"):
    return Request(
        protocol="openai",
        model=model,
        messages=(Message("user", (Text(text),)),),
        parameters=Parameters(temperature=0.0),
    )


async def test_the_public_names_are_all_it_takes():
    async with hapenny.Gateway(config()) as gateway:
        assert await gateway.chat("What is a halfpenny bridge?", model="strong", max_tokens=60)
        with pytest.raises(hapenny.Failure, match="not known here"):
            await gateway.chat("What is a halfpenny bridge?", model="no such model")


async def test_a_reload_goes_on_with_answers_ledger_and_what_was_learnt(tmp_path):
    ledger = f'{{path: "{tmp_path}/ledger.db"}}'
    first, second = Scripted(), Scripted()
    old = hapenny.Gateway(config(ledger), backends={"simulated": first})
    await old.start()
    await old.complete(question(), Context())
    new = hapenny.Gateway(config(ledger), backends={"simulated": second}, previous=old)
    await new.start()
    await old.aclose(successor=new)
    _, exchange = await new.complete(question(), Context())
    assert exchange.cache.hit
    assert (len(first.asked), len(second.asked)) == (1, 0)
    await new.ledger.flush()
    assert (await new.ledger.get(exchange.id)).cache_hit
    await new.aclose()
    async with hapenny.Gateway(config(ledger), backends={"simulated": Scripted()}) as restarted:
        learnt = restarted.shared.estimators
        assert learnt.dumps() == new.shared.estimators.dumps()


async def test_what_techniques_learn_after_a_reload_outlives_a_restart(tmp_path):
    """The state file follows the gateway that serves, not the one it was opened for."""
    ledger = f'{{path: "{tmp_path}/ledger.db"}}'
    judged = ", stages: {semantic: 'on', templates: 'off', exact: 'off'}"
    more = "stages: {semantic: {embedder: hashed}}"
    old = hapenny.Gateway(config(ledger), backends={"simulated": Scripted()})
    await old.start()
    new = hapenny.Gateway(config(ledger, route=judged, more=more), backends={"simulated": Scripted()}, previous=old)
    await new.start()
    await old.aclose(successor=new)
    await new.complete(question(), Context())
    await new.settled()
    assert list(new.parts.semantic.stats()) == ["default"]
    kept = new.parts.semantic.dumps()
    await new.aclose()
    async with hapenny.Gateway(
        config(ledger, route=judged, more=more), backends={"simulated": Scripted()}
    ) as restarted:
        assert restarted.parts.semantic.dumps() == kept


PARAPHRASES = "where is my order", "where is my order now", "where is my parcel order", "where is the order of mine"


async def test_after_a_reload_the_new_gateways_models_judge_what_may_be_served_again():
    """An inherited semantic cache asks the model of the configuration that serves, and its rows say so."""
    route = ", stages: {semantic: 'on', templates: 'off', exact: 'off', flights: 'off'}"
    judged = config(route=route, more="stages: {semantic: {embedder: hashed, judge: fast}}")
    old = hapenny.Gateway(judged)
    await old.start()
    new = hapenny.Gateway(judged, previous=old)
    assert new.parts.semantic is old.parts.semantic
    await new.start()
    await old.aclose(successor=new)
    rows = []
    new.parts.exchanges.observe(lambda exchange, row: rows.append(row))
    for text in PARAPHRASES:
        await new.complete(question(text, "fast"), Context())
        await new.settled()
    assert [row.actual > 0 for row in rows if row.background == "judge"]
    assert old.backends["simulated"].provider.bill.nano == 0
    assert new.backends["simulated"].provider.bill.nano == sum(row.actual for row in rows)
    await new.aclose()


async def test_counters_and_collections_are_made_anew_only_where_their_options_changed(redis_url):
    old = hapenny.Gateway(config(counters=redis_url), backends={"simulated": Scripted()})
    await old.start()
    kept = hapenny.Gateway(config(counters=redis_url), backends={"simulated": Scripted()}, previous=old)
    assert kept.shared.counters is old.shared.counters
    await kept.start()
    await old.aclose(successor=kept)
    await kept.complete(question(), Context())
    changed = hapenny.Gateway(config(), backends={"simulated": Scripted()}, previous=kept)
    assert changed.shared.counters is not kept.shared.counters
    await changed.start()
    await kept.aclose(successor=changed)
    await changed.complete(question(), Context())
    await changed.aclose()


async def test_starting_twice_is_starting_once(tmp_path):
    gateway = hapenny.Gateway(config(f'{{path: "{tmp_path}/ledger.db"}}'))
    await gateway.start()
    running = len(asyncio.all_tasks())
    await gateway.start()
    assert len(asyncio.all_tasks()) == running
    await gateway.aclose()


async def test_a_tier_asked_for_by_name_is_compared_with_itself(tmp_path):
    ledger = f'{{path: "{tmp_path}/ledger.db"}}'
    rows = []
    async with hapenny.Gateway(config(ledger), backends={"simulated": Scripted()}) as gateway:
        gateway.parts.exchanges.observe(lambda exchange, row: rows.append(row))
        for model in ("fast", "strong"):
            await gateway.complete(question(model=model), Context())
    fast, strong = rows
    assert fast.model_baseline == fast.model_served != strong.model_baseline
    assert fast.baseline < strong.baseline
    assert not fast.savings
    assert not strong.savings


async def test_a_name_of_megabytes_is_no_name_and_is_not_kept():
    async with hapenny.Gateway(config()) as gateway:
        with pytest.raises(hapenny.Failure):
            await gateway.chat("hi", model="no such model")
        before = public_name.cache_info().currsize
        for prefix in ("", "main/", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/"):
            with pytest.raises(hapenny.Failure, match="not known here") as told:
                await gateway.chat("hi", model=prefix + "x" * (LONGEST + 1))
            assert told.value.kind == "not_found"
            assert len(told.value.message) < 400
        assert public_name.cache_info().currsize == before
