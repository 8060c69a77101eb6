"""The two answer caches on one request: an answer has one life, whichever layer holds it."""

from hapenny.gateway.cache_admin import Invalidation
from tests.crossing.house import CONFIG, house

CONFIG = CONFIG.replace("embedder: hashed}", "embedder: hashed, similarity: 0.5}").replace(
    "p7}", "p7, stages: {semantic: on}}"
)
PLAIN, REWORDED = "when do you open", "so when do you open"


async def stored(there):
    stats = there.gateway.admin.stats()
    return stats["exact"]["entries"], stats["semantic"]["entries"]


async def test_the_exact_layer_does_not_keep_what_the_semantic_one_served():
    async with house(config=CONFIG) as there:
        await there.ask(PLAIN)
        for _ in range(2):  # kept as an answer of its own, it would outlive the one it came from
            _, again = await there.ask(REWORDED)
            assert (again.cache.layer, again.cache.hit) == ("semantic", True)
        assert await stored(there) == (1, 1)
        _, same = await there.ask(PLAIN)
        assert (same.cache.layer, same.cache.hit) == ("exact", True)
        assert len(there.shop.asked) == 1


async def test_an_invalidated_answer_is_gone_in_both():
    async with house(config=CONFIG) as there:
        await there.ask(PLAIN)
        gone = there.gateway.admin.invalidate(Invalidation(epoch="e3"), "default")
        assert (gone["exact"]["entries"], gone["semantic"]["entries"]) == (1, 1)
        await there.ask(REWORDED)
        assert len(there.shop.asked) == 2


async def test_an_answer_made_in_one_prompt_version_is_served_by_neither_in_the_next():
    async with house(config=CONFIG) as there:
        await there.ask(PLAIN)
        there.reload(CONFIG.replace("p7", "p8"))
        for question in (REWORDED, PLAIN):
            _, asked = await there.ask(question, user="somebody")
            assert asked.cache.hit == (question == PLAIN)  # the reworded one's, of the new version
        assert len(there.shop.asked) == 2
