"""The named safety cases of the semantic layer, against a cache that is open and serving."""

import pytest

from hapenny.caching.semantic.decider import Promise

from .rig import Rig

CASES = {
    "negation": ("can anna see my account", "can anna not see my account"),
    "negation contracted": ("should I cancel the subscription", "shouldn't I cancel the subscription"),
    "antonym": ("how do I enable two factor login", "how do I disable two factor login"),
    "antonym direction": ("please lock my card", "please unlock my card"),
    "number": ("where is order 1000", "where is order 1999"),
    "order id": ("status of order ABC-123", "status of order ABC-124"),
    "amount": ("can I pay 50 euros by card", "can I pay 5000 euros by card"),
    "name swap": ("what is the phone number of anna", "what is the phone number of walter"),
    "place swap": ("what is the weather in paris", "what is the weather in hamburg"),
    "word order": ("transfer ten euros from anna to bruno", "transfer ten euros from bruno to anna"),
    "word order of places": ("flights from rome to oslo", "flights from oslo to rome"),
}


def test_the_cache_is_open_and_keeps_its_promise(open_cache):
    stats = open_cache.decider.stats()
    assert stats.open
    assert open_cache.served / open_cache.requests > 0.25
    assert open_cache.wrong / open_cache.requests <= 0.02


def test_paraphrases_are_served(open_cache):
    looked = [
        open_cache.look(question)[0] for question in ("hello! when do you open please", "hi, do you sell gift cards")
    ]
    assert {look.action for look in looked} <= {"serve", "audit"}
    assert all(look.error < 0.05 for look in looked)


@pytest.mark.parametrize("case", CASES)
def test_never_served(open_cache, case):
    stored, asked = CASES[case]
    rig = open_cache
    rig.store(stored, f"case:{stored}")
    try:
        looked, _ = rig.look(asked)
        assert looked.action == "miss", looked
    finally:
        rig.memory.remove(rig.count - 1)
        rig.index.remove([rig.count - 1])


def test_a_caller_can_raise_caution_but_never_lower_it(open_cache):
    question = "hello! when do you open please"
    assert open_cache.look(question)[0].action in ("serve", "audit")
    assert open_cache.look(question, max_error=0.0)[0].action == "miss"
    doubtful = "what is the weather in hamburg"
    assert open_cache.look(doubtful, max_error=0.9)[0].action == "miss"


def test_a_fixed_threshold_marks_its_hits_unproven(embedder):
    rig = Rig(embedder, Promise(), fixed=0.8)
    rig.store("when do you open", "hours")
    looked, _ = rig.look("when do you open today")
    assert looked.action == "serve"
    assert not looked.bounded
    assert rig.look("where can I park")[0].action == "miss"
