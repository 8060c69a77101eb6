"""Experiments with the caches and with coalescing: arms part answers, and change nothing else about them."""

import asyncio

import pytest

from hapenny.caching.keys import key_of
from hapenny.gateway.cache_admin import Invalidation
from tests.crossing.house import CONFIG, experiments, house, until, user_of
from tests.settling import settled

CONTROL, VARIANT = user_of("a"), user_of("b")
ARMS = (("a", {}), ("b", {"settings": {"prune.share": 0.3}}))


def running(tmp_path, *arms, stages=""):
    """The configuration with an experiment of two arms under way."""
    file = experiments(tmp_path / "experiments.json", *(arms or ARMS))
    given = f"stages: {{semantic: {{embedder: hashed}}, arms: {{file: '{file}'}}}}"
    return CONFIG.replace("stages: {semantic: {embedder: hashed}}", given).replace("p7}", f"p7{stages}}}")


async def test_answers_of_every_arm_are_invalidated_by_their_knowledge_epoch(tmp_path):
    async with house(config=running(tmp_path)) as there:
        for user in (CONTROL, VARIANT):
            await there.ask(user=user)
        entries = there.gateway.admin.explain("", "default", there.gateway.clock.wall())
        assert [[tag for tag in entry["tags"] if tag.startswith("epoch:")] for entry in entries] == [["epoch:e3"]] * 2
        gone = there.gateway.admin.invalidate(Invalidation(epoch="e3"), "default")
        assert gone["exact"]["entries"] == 2


async def test_each_arm_is_answered_from_its_own_entries(tmp_path):
    async with house(config=running(tmp_path)) as there:
        for user in (CONTROL, VARIANT, CONTROL, VARIANT):
            await there.ask(user=user)
        assert len(there.shop.asked) == 2


async def test_an_arm_written_anew_under_its_old_name_finds_no_answer_of_before(tmp_path):
    parameters = {"max_tokens": 100}
    async with house(config=running(tmp_path, ("a", {}), ("b", {"parameters": parameters}))) as there:
        await there.ask(user=VARIANT)
        parameters["max_tokens"] = 10
        there.reload()  # the file is the same: the same answer
        await there.ask(user=VARIANT)
        assert len(there.shop.asked) == 1
        experiments(tmp_path / "experiments.json", ("a", {}), ("b", {"parameters": parameters}))
        there.reload()
        await there.ask(user=VARIANT)
        assert len(there.shop.asked) == 2


async def test_users_of_different_arms_do_not_close_the_semantic_cache(tmp_path):
    async with house(config=running(tmp_path, stages=", stages: {semantic: on}")) as there:
        for turn in range(6):
            await there.ask(f"When does bridge number {turn} open?", user=(CONTROL, VARIANT)[turn % 2])
        stats = there.gateway.parts.semantic.stats()["default"]
        assert stats.closures == 0
        assert len(there.gateway.parts.semantic) == 6


@pytest.mark.parametrize("users", [(CONTROL, CONTROL), (CONTROL, VARIANT)], ids=["one arm", "two arms"])
async def test_only_users_of_one_arm_share_a_call(tmp_path, users):
    async with house(config=running(tmp_path)) as there:
        there.shop.gate = asyncio.Event()
        asked = [asyncio.ensure_future(there.ask(user=user)) for user in users]
        calls = len(set(users))
        await until(lambda: len(there.shop.asked) == calls)
        there.shop.gate.set()
        answers = await asyncio.gather(*asked)
        await settled(there.gateway)
        assert len(there.shop.asked) == calls
        followers = [each for _, each in answers if each.cache is not None and each.cache.collapsed]
        assert len(followers) == 2 - calls
        assert len({key_of(each) for _, each in answers}) == calls
