"""One state per (provider, model), bounded, saved and restored; parts of a prompt sum to the whole."""

from hypothesis import given
from hypothesis import strategies as st

from hapenny.counting import Estimators, share
from hapenny.counting.seeding import PROBES, audit, seed
from tests.counting.corpus import requests, tokenizer

COUNT = tokenizer(4, 1.5, 1)


def teach(estimators: Estimators, model: str, seed_: int = 1, number: int = 80) -> None:
    estimator = estimators.get("bedrock", model)
    for texts in requests(seed_, number):
        estimator.learn(estimator.count(texts).features, COUNT(texts))


def test_models_do_not_teach_one_another_once_known() -> None:
    estimators = Estimators()
    text = requests(7, 1)[0]
    untouched = estimators.count("bedrock", "b", text).tokens
    teach(estimators, "a")
    assert estimators.count("bedrock", "b", text).tokens == untouched
    assert estimators.count("bedrock", "a", text).tokens != untouched


def test_a_new_model_starts_from_its_providers_last() -> None:
    estimators = Estimators()
    text = requests(7, 1)[0]
    teach(estimators, "a")
    assert estimators.count("bedrock", "new", text).tokens == estimators.count("bedrock", "a", text).tokens
    assert estimators.count("openai", "new", text).tokens != estimators.count("bedrock", "a", text).tokens


def test_dump_and_load() -> None:
    estimators, copy = Estimators(), Estimators()
    teach(estimators, "a")
    estimators.get("bedrock", "idle")
    assert copy.loads(estimators.dumps()) == 1
    for text in requests(8, 10):
        assert copy.count("bedrock", "a", text).upper == estimators.count("bedrock", "a", text).upper
    assert Estimators(len).loads(estimators.dumps()) == 0


def test_registry_is_bounded() -> None:
    estimators = Estimators(capacity=4)
    for index in range(20):
        estimators.get("p", str(index))
    assert len(estimators) == 4


def test_parts_sum_to_the_request() -> None:
    estimators = Estimators()
    teach(estimators, "a")
    parts = {"system": ["You help."], "tools": [], "history": ["hi", "hello"], "user": ["where is my order 5512?"]}
    counted = estimators.parts("bedrock", "a", parts)
    texts = [text for part in parts.values() for text in part]
    assert sum(counted.values()) == estimators.count("bedrock", "a", texts).tokens
    assert counted["tools"] == 0
    assert counted["user"] > counted["system"]


@given(st.integers(0, 10**6), st.dictionaries(st.text(max_size=3), st.floats(0, 1e6), max_size=6))
def test_shares_sum_exactly(total: int, weights: dict[str, float]) -> None:
    shares = share(total, weights)
    assert sum(shares.values()) == (total if sum(weights.values()) > 0 else 0)
    assert all(value >= 0 for value in shares.values())


async def test_seeding_from_the_counting_endpoint_halves_the_error() -> None:
    async def endpoint(text: str) -> int:
        return COUNT([text])

    estimators = Estimators()
    estimator = estimators.get("anthropic", "new")
    texts = [text for request in requests(11, 20) for text in request]
    before = [abs(error) for error in await audit(estimator, endpoint, texts)]
    await seed(estimator, endpoint)
    after = [abs(error) for error in await audit(estimator, endpoint, texts)]
    assert sum(after) < 0.6 * sum(before)
    assert estimator.learned == 2 * len(PROBES)


def test_models_of_one_tokenizer_share_one_estimator():
    estimators = Estimators()
    small = estimators.join("bedrock", "small", "tokenizer t")
    large = estimators.join("bedrock", "large", "tokenizer t")
    assert small is large
    assert estimators.get("bedrock", "small") is small
    assert estimators.join("bedrock", "other", "other") is not small
    vector = small.cache.request(["a few words"])
    for _ in range(30):
        small.learn(vector, 40)
    assert abs(estimators.get("bedrock", "large").expected(vector) - 40) < 2
