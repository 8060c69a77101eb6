from hapenny.config import load
from hapenny.studies.fallback_check import WAYS, check_fallbacks
from tests.studies.deployment import deployed

TIERS = "backends: {simulated: {kind: simulated, card: current-2026}}\n"


def test_every_fallback_is_tried_in_every_way_on_every_route():
    config = load(
        text=TIERS + "fallbacks: {strong: [fast], auto: [balanced]}\nroutes: {default: {}, other: {preset: demo}}"
    )
    tried = check_fallbacks(config)
    assert {(one.name, one.route, one.way) for one in tried} == {
        (name, route, way) for name in ("strong", "auto") for route in ("default", "other") for way in WAYS
    }
    assert all(one.answered for one in tried), [one for one in tried if not one.answered]


def test_a_fallback_that_is_the_same_model_proves_nothing():
    config = load(text=TIERS + "fallbacks: {strong: [best]}\naliases: {best: strong}")
    assert not any(one.answered for one in check_fallbacks(config))
    assert all(one.why for one in check_fallbacks(config))


def test_without_fallbacks_nothing_is_tried():
    assert check_fallbacks(load(text=TIERS)) == []


def test_a_dry_run_touches_nothing_of_the_deployment(tmp_path):
    config = load(text=TIERS + "fallbacks: {strong: [fast]}\n" + deployed(tmp_path))
    assert all(one.answered for one in check_fallbacks(config))
    assert list(tmp_path.iterdir()) == []
