"""What a reload does to stored answers: it drops those that the new configuration would not give, and no other."""

import pytest

from hapenny.routing.router import Trained
from hapenny.routing.scorer import fit
from hapenny.routing.training import save_router
from tests.crossing.house import CONFIG, house
from tests.routing.test_scorer import traffic

PLAIN = "stages: {semantic: {embedder: hashed}}"


def told(stages="", route="", more=""):
    """The configuration with further stage options, route options, and sections."""
    config = CONFIG.replace(PLAIN, f"stages: {{semantic: {{embedder: hashed}}{stages}}}")
    return config.replace("p7}", f"p7{route}}}") + more


async def kept(before, after):
    """Whether a stored answer is served after the reload, and how often the semantic cache was closed by it."""
    async with house(config=before) as there:
        await there.ask()
        there.reload(after)
        _, again = await there.ask()
        await there.ask("When, in other words, is it open?")
        return again.cache.hit, there.gateway.parts.semantic.stats()["default"].closures


SEMANTIC = ", stages: {semantic: on}"


@pytest.mark.parametrize(
    "change",
    [
        {"stages": ", throughput: {retry_share: 0.2}"},
        {"stages": ", throughput: {breaker: {}, gate: {}}, flights: {max_flights: 7}, prefix: {stagger_s: 0}"},
        {"stages": ", exact: {ttl_s: 100}"},
        {"stages": ", prune: {share: 0.9}"},  # it only watches
        {"more": "counting: {seed: false}\nserver: {drain_s: 1}"},
        {"route": ", begin_s: 20, max_calls: 3" + SEMANTIC},
    ],
)
async def test_what_cannot_change_an_answer_keeps_all(change):
    change = {"route": SEMANTIC, **change}
    assert await kept(told(route=SEMANTIC), told(**change)) == (True, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"route": ", stages: {semantic: on, prune: on}"},
        {"stages": ", prefix: {arrange: move}"},
        {"stages": ", parameters: {use_sets: true}"},
        {"more": "models: {shop: {id: anthropic.claude-3-haiku-20240307-v1:0, parameters: {max_tokens: 9}}}"},
        {"route": ", baseline: fast" + SEMANTIC},
    ],
)
async def test_what_can_change_an_answer_drops_it_and_what_was_learnt(change):
    change = {"route": SEMANTIC, **change}
    assert await kept(told(route=SEMANTIC), told(**change)) == (False, 1)


async def test_options_of_a_stage_count_once_it_is_on():
    pruned = ", stages: {semantic: on, prune: on}"
    before, after = told(route=pruned), told(route=pruned, stages=", prune: {share: 0.9}")
    assert await kept(before, after) == (False, 1)


async def test_another_routes_options_are_its_own_affair():
    def two(preset):
        routes = f"routes:\n  default: {{holdout: 0}}\n  other: {{preset: {preset}, holdout: 0}}\n"
        return CONFIG[: CONFIG.index("routes:")] + routes

    async with house(config=two("safe")) as there:
        await there.ask()
        there.reload(two("balanced"))
        _, again = await there.ask()
        assert again.cache.hit


async def test_a_router_trained_anew_under_its_old_name_is_another(tmp_path):
    prompts, weak, strong, _ = traffic(300)
    trained = tmp_path / "router"

    def train(version):
        scorer = fit(prompts, weak, strong, version=version)
        trained.write_bytes(save_router(Trained(weak="fast", strong="strong", scorer=scorer)))

    train("1")
    config = told(stages=f", tiers: {{trained: '{trained}'}}", route=", stages: {tiers: on}")
    async with house(config=config) as there:
        await there.ask(model="auto")
        there.reload(config)
        assert (await there.ask(model="auto"))[1].cache.hit
        train("2")
        there.reload(config)
        assert not (await there.ask(model="auto"))[1].cache.hit
