"""What a model would answer with an error is named beforehand, with a fix."""

import pytest

from hapenny.catalog import default, nearest_effort, refusals, resolve
from hapenny.core.messages import Parameters, Thinks

SEEDS = {  # the reference application's profiles send temperature and top_p together
    "extraction": Parameters(temperature=0.0, top_p=0.1),
    "creative": Parameters(temperature=0.9, top_p=0.9),
    "chatbot": Parameters(temperature=0.5, top_p=0.7),
}


def names(model: str, parameters: Parameters) -> set[str]:
    return {refusal.name for refusal in refusals(resolve(model), parameters, model)}


@pytest.mark.parametrize("profile", SEEDS)
@pytest.mark.parametrize(
    ("model", "refused"),
    [
        ("claude-3-sonnet", set()),
        ("anthropic.claude-3-5-haiku", set()),
        ("anthropic.claude-opus-4-20250514-v1:0", set()),
        ("anthropic.claude-opus-4-1-20250805-v1:0", {"top_p"}),
        ("claude-sonnet-4-5", {"top_p"}),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", {"top_p"}),
        ("claude-opus-4-7", {"temperature", "top_p"}),
        ("anthropic.claude-sonnet-5", {"temperature", "top_p"}),
        ("anthropic.claude-haiku-5-5", {"temperature", "top_p"}),
        ("claude-fable-5", {"temperature", "top_p"}),
        ("amazon.nova-lite-v1:0", set()),
        ("gpt-4o", set()),
        ("gpt-5", {"temperature", "top_p"}),
        ("o3", {"temperature", "top_p"}),
        ("anthropic.claude-sonnet-9", {"temperature", "top_p"}),  # newer than the catalog: taken to refuse
        ("gpt-7-sol", {"temperature", "top_p"}),
        ("our-llama-3", set()),
    ],
)
def test_sampling_of_the_seed_profiles(model: str, refused: set[str], profile: str) -> None:
    assert names(model, SEEDS[profile]) == refused


def test_limits_and_strangers() -> None:
    asked = Parameters(max_tokens=5000, seed=1, n=2, presence_penalty=0.5, frequency_penalty=0.0)
    assert names("claude-3-haiku", asked) == {"max_tokens", "seed", "n", "presence_penalty"}
    assert names("gpt-4o", asked) == set()
    assert names("gpt-4o", Parameters(top_k=5, stop=("a", "b", "c", "d", "e"))) == {"top_k", "stop"}
    assert names("gpt-5", Parameters(temperature=1.0)) == set()
    assert names("claude-3-haiku", Parameters(temperature=1.5)) == {"temperature"}


def test_effort_and_thinking() -> None:
    assert names("claude-3-haiku", Parameters(effort="low", thinking=Thinks("enabled", 2048))) == {"effort", "thinking"}
    assert names("claude-sonnet-4-5", Parameters(thinking=Thinks("enabled", 2048), max_tokens=4096)) == set()
    assert names("claude-sonnet-4-5", Parameters(thinking=Thinks("enabled", 512))) == {"thinking"}
    assert names("claude-sonnet-4-5", Parameters(thinking=Thinks("enabled", 2048), max_tokens=2048)) == {"thinking"}
    assert names("claude-sonnet-4-5", Parameters(thinking=Thinks("enabled", 2048), temperature=0.2)) == {"temperature"}
    assert names("claude-opus-5-5", Parameters(thinking=Thinks("disabled"))) == {"thinking"}
    assert names("claude-opus-5-5", Parameters(thinking=Thinks("enabled", 2048))) == {"thinking"}
    assert names("claude-opus-5-5", Parameters(thinking=Thinks("adaptive"), effort="high")) == set()
    assert names("claude-3-haiku", Parameters(thinking=Thinks("disabled"))) == set()
    assert names("gpt-5", Parameters(effort="minimal")) == set()
    assert names("gpt-5", Parameters(effort="xhigh")) == {"effort"}


def test_the_nearest_effort() -> None:
    gpt = resolve("gpt-5")
    assert gpt is not None
    assert nearest_effort(gpt, "xhigh") == "high"
    assert nearest_effort(gpt, "none") == "minimal"
    haiku = resolve("claude-3-haiku")
    assert haiku is not None
    assert nearest_effort(haiku, "low") is None


def test_every_refusal_says_why_and_what_to_do() -> None:
    asked = Parameters(temperature=0.3, top_p=0.4, top_k=7, effort="odd", thinking=Thinks("odd"), max_tokens=10**7)
    for card in default().cards.values():
        for refusal in refusals(card, asked):
            assert refusal.why
            assert refusal.fix
            assert hasattr(asked, refusal.name)


def test_nothing_asked_nothing_refused() -> None:
    assert all(not refusals(card, Parameters()) for card in default().cards.values())
