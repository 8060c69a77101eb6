"""A log is replayed through configurations: what is the same comes out the same, what the log cannot know is a span."""

import json

import pytest
from msgspec.structs import replace

from hapenny.config import STAGES, load
from hapenny.simulation.workload.mix import load as load_mix
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Population
from hapenny.studies.logged import Logged, Pace, request, words
from hapenny.studies.traffic_log import Log, read
from hapenny.studies.virtual_run import run
from hapenny.studies.whatif import QUANTILES, Span, cheaper, replay, settled
from hapenny.telemetry.ledger import LedgerOptions
from hapenny.telemetry.summary import summarise
from tests.studies.deployment import deployed

SONNET = "anthropic.claude-sonnet-5-5"
HAIKU = "anthropic.claude-haiku-5-5"


def config(stages=None, **route):
    modes = {spec.name: "off" for spec in STAGES} | (stages or {})
    return load(
        text=json.dumps(
            {
                "backends": {"bedrock": {"kind": "simulated", "card": "current-2026"}},
                "tiers": {"strong": SONNET, "fast": HAIKU},
                "routes": {"default": {"baseline": "strong", "stages": modes, "holdout": 0.0, **route}},
                "ledger": None,
            }
        )
    )


def log(rows, **rest):
    return Log(
        rows=rows, paces={SONNET: Pace(0.6, 0.0125)}, features=[("", "", "default")] * len(rows),
        asked=["strong"] * len(rows), **rest,
    )  # fmt: skip


def row(at, identity, **rest):
    sizes = {"system": "shop", "system_tokens": 1_500, "input_tokens": 200, "output_tokens": 100}
    return Logged(at=at, identity=identity, model=SONNET, first_s=0.6, rest_s=1.25, **{**sizes, **rest})


ROWS = [row(5.0 * number, str(number % 6)) for number in range(30)]


def test_everything_off_is_the_log_itself():
    outcome = replay(log(ROWS), config())
    assert outcome.requests == 30
    assert outcome.saved_share.low == outcome.saved_share.high == pytest.approx(0.0, abs=1e-6)
    assert outcome.whole_p95_s == pytest.approx(1.85, abs=0.01)
    assert outcome.first_p50_s == pytest.approx(0.6, abs=0.01)
    assert outcome.answered_by_cache == outcome.turned_away == outcome.unknown_pace == 0


def test_what_came_twice_is_answered_from_the_cache():
    outcome = replay(log(ROWS), config({"exact": "on", "flights": "on"}, cache_any_temperature=True))
    assert outcome.answered_by_cache == pytest.approx(24 / 30)
    assert outcome.saved_share.low == pytest.approx(24 / 30, abs=0.01)
    assert outcome.first_p50_s < 0.1


def test_a_shared_system_prompt_is_read_from_the_providers_cache():
    rows = [row(2.0 * number, str(number)) for number in range(40)]
    outcome = replay(log(rows), config({"prefix": "on"}))
    assert outcome.saved_share.low > 0.3
    assert outcome.by_technique_usd["prefix"] > 0


def test_a_quota_that_is_too_small_makes_requests_wait_and_some_go():
    rows = [row(0.5 * number, str(number), max_tokens=200) for number in range(120)]
    plain = config()
    tight = json.loads(json.dumps({"models": {SONNET: {"quota": {"tokens_per_minute": 60_000}}}}))
    limited = load(
        text=json.dumps(
            {
                "backends": {"bedrock": {"kind": "simulated", "card": "current-2026"}},
                "tiers": {"strong": SONNET},
                "routes": {
                    "default": {
                        "baseline": "strong",
                        "holdout": 0.0,
                        "stages": {spec.name: "off" for spec in STAGES} | {"throughput": "on"},
                    }
                },
                "stages": {"throughput": tight},
                "ledger": None,
            }
        )
    )
    free, held = replay(log(rows), plain), replay(log(rows), limited)
    assert free.turned_away == 0
    assert held.queued_p95_s > 5
    assert held.turned_away > 0.1


def test_what_watching_techniques_noted_makes_the_saving_a_span():
    certain = replay(log(ROWS), config())
    outcome = replay(log(ROWS, watched={"tiers": certain.baseline_usd / 4}), config())
    assert outcome.saved_share.low == pytest.approx(0.0, abs=1e-6)
    assert outcome.saved_share.high == pytest.approx(0.25, abs=0.01)


def test_what_hangs_on_text_is_left_out_and_said():
    _, left = settled(config({"semantic": "on", "prune": "on", "exact": "on"}))
    assert left == ["prune", "semantic"]


def test_a_trace_is_a_log_with_assumed_times(tmp_path):
    path = tmp_path / "day.csv"
    path.write_text("timestamp_s,input_tokens,output_tokens\n0,500,80\n1,900,10\n")
    found = read(path)
    assert [each.output_tokens for each in found.rows] == [80, 10]
    assert "assumed" in found.source
    outcome = replay(found, config())
    assert outcome.requests == 2
    assert outcome.turned_away == 0


def test_two_replays_are_equal():
    settings = config({"exact": "on", "prefix": "on"}, cache_any_temperature=True)
    assert replay(log(ROWS), settings) == replay(log(ROWS), settings)


def test_a_longer_stand_in_begins_as_a_shorter_one():
    assert words("a", 50) == " ".join(words("a", 500).split()[:50])
    assert len(words("a", 500).split()) == 500
    short = request(row(0, "1", history="s", history_tokens=200), SONNET)
    long = request(row(0, "2", history="s", history_tokens=400), SONNET)
    assert long.messages[:2] == short.messages[:2]


def test_what_is_foretold_from_a_ledger_is_what_then_happens(tmp_path):
    """Conversations with tools before the simulated provider: logged with everything off, foretold, then run."""
    population = Population(load_mix(None), Shop(), seed=11)
    messages = population.messages(90, days=0.01)

    def ledger(name, stages):
        settings = config(stages, cache_any_temperature=True)
        settings = replace(settings, ledger=LedgerOptions(path=str(tmp_path / name)))
        run(messages, population.shop, config=settings, card="current-2026", model="strong")
        return settings

    ledger("log.db", {})
    known = read(tmp_path / "log.db")
    for name, stages in (("exact.db", {"exact": "on", "flights": "on"}), ("prefix.db", {"prefix": "on"})):
        foretold = replay(known, ledger(name, stages)).saved_share.low
        assert foretold == pytest.approx(summarise(str(tmp_path / name)).saved_share, abs=0.02)


def test_the_saving_has_an_interval_over_the_time_of_the_log():
    outcome = replay(log(ROWS), config({"exact": "on", "flights": "on"}, cache_any_temperature=True))
    assert sum(each.requests for each in outcome.course) == 30
    assert sum(each.paid_usd for each in outcome.course) == pytest.approx(outcome.paid_usd)
    assert sum(each.baseline_usd for each in outcome.course) == pytest.approx(outcome.baseline_usd)
    assert outcome.sampled.low < outcome.saved_share.low < outcome.sampled.high
    assert len(outcome.whole_s) == len(QUANTILES)
    assert outcome.whole_s == sorted(outcome.whole_s)


def test_two_configurations_are_compared_in_pairs():
    off = replay(log(ROWS), config())
    cached = replay(log(ROWS), config({"exact": "on", "flights": "on"}, cache_any_temperature=True))
    less, span = cheaper(cached, off)
    assert less == pytest.approx(off.paid_usd - cached.paid_usd)
    assert 0 < span.low < less < span.high
    assert cheaper(off, off) == (0.0, Span(0.0, 0.0))


def test_a_replay_touches_nothing_of_the_deployment(tmp_path):
    settings = load(text="backends: {simulated: {kind: simulated}}\n" + deployed(tmp_path))
    assert replay(log(ROWS), settings).requests == 30
    assert list(tmp_path.iterdir()) == []
