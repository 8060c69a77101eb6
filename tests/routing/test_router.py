"""Rulings of the router: priors, evidence, abstention, stickiness, step-back."""

import msgspec
import numpy as np
import pytest

from hapenny.routing.budget import Rates
from hapenny.routing.certificates import Fingerprint, certify
from hapenny.routing.intents.features import extract
from hapenny.routing.options import TierOptions
from hapenny.routing.router import Router, Trained
from hapenny.routing.scorer import Reader, fit
from tests.routing.test_scorer import traffic

ABOUT = Fingerprint(route="default", intent="", weak="fast", strong="strong")


@pytest.fixture(scope="module")
def trained():
    prompts, weak, strong, _ = traffic(500)
    scorer = fit(prompts, weak, strong)
    fresh, weak, strong, _ = traffic(800, seed=4)
    reader = Reader(scorer)
    scores = [reader.gain(extract(p)) for p in fresh]
    promise = certify(ABOUT, scores, np.maximum(strong - weak, 0), max_quality_loss=0.05, dated=0.0)
    assert promise.threshold is not None
    return Trained(weak="fast", strong="strong", scorer=scorer, certificates=(promise,))


EASY, HARD = "hello there how is the weather blue river cat", "prove the theorem of the seven blue tables river"


def test_use_cases_before_any_evidence():
    router = Router(TierOptions(strong_from=0.5))
    assert router.rule("anything at all", "summarization").tier == "fast"
    assert router.rule("anything at all", "expert_reasoning").tier == "max"
    assert router.rule("hi").tier == "fast"
    assert router.rule("hi", "general").tier == "balanced"
    assert router.rule("if x then y, each of (a + b) * c; " * 40, "general").tier == "strong"
    assert router.rule("if x then y, each of (a + b) * c; " * 40).tier == "strong"


def test_certified_evidence_overrides_use_cases(trained):
    router = Router(trained=trained)
    assert router.rule(EASY).tier == "fast"
    assert router.rule(EASY).certificate is not None
    assert router.rule(HARD).tier == "strong"
    assert router.rule(HARD, "summarization").tier == "strong"


def test_abstains_to_strong_on_foreign_prompts(trained):
    ruling = Router(trained=trained).rule("Quel est le plus grand fleuve d'Europe orientale ?")
    assert (ruling.tier, ruling.why) == ("strong", "unlike the training traffic")


def test_a_changed_price_or_prompt_voids_the_certificate(trained):
    now = ABOUT
    router = Router(trained=trained, describe=lambda route, intent: now)
    assert router.rule(EASY).tier == "fast"
    now = msgspec.structs.replace(ABOUT, prices="2027-01")
    assert router.rule(EASY).tier == "strong"


def test_other_routes_are_not_covered(trained):
    assert Router(trained=trained).rule(EASY, route="legal").why == "no certificate in force"


def test_steps_back_when_audits_refute_the_promise(trained):
    router = Router(trained=trained)
    assert router.rule(EASY).tier == "fast"
    alarms = [router.observe("default", "", 1.0) for _ in range(30)]
    assert alarms[-1]
    assert router.rule(EASY).tier == "strong"
    assert router.certificate("default", "") is None


def test_a_session_moves_down_only_when_that_saves():
    rates = {"strong": Rates(3.0, 0.3, 15.0), "fast": Rates(0.8, 0.08, 4.0)}
    router = Router(rates=rates)
    hard = "if x then y, each of (a + b) * c; " * 40
    assert router.rule(hard, session="s", now=0).tier == "strong"
    stays = router.rule("ok", session="s", now=10, prefix_tokens=50_000)
    assert (stays.tier, stays.sticky) == ("strong", True)
    assert router.rule("ok", session="s", now=20, prefix_tokens=100).tier == "fast"
    assert router.rule("ok", session="other", now=20, prefix_tokens=50_000).tier == "fast"


def test_a_session_forgets_with_the_cache():
    router = Router(rates={"strong": Rates(3.0, 0.3, 15.0), "fast": Rates(0.8, 0.08, 4.0)})
    router.rule("if x then y, each of (a + b) * c; " * 40, session="s", now=0)
    assert router.rule("ok", session="s", now=301, prefix_tokens=50_000).tier == "fast"
