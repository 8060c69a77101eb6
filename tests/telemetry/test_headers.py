"""Headers and metrics: standard words, honest amounts, values that cannot break a response."""

import json
import re

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from hapenny.core.exchange import CacheFact, Taken, Target
from hapenny.core.stage import Decision
from hapenny.telemetry.headers import at_commit, at_end, cache_status, totals
from hapenny.telemetry.live import Live
from hapenny.telemetry.metrics import MAX_SERIES, Counts, Metrics
from tests.telemetry import made


@pytest.fixture
def done():
    clock = made.Clock()
    book = made.books(clock)
    ex = made.exchange(clock, route="support")
    ex.decisions.append(Taken("tiers", "on", Decision(), 0.0012))
    ex.target = Target("cheap")
    ex.step("tiers")
    ex.note("temperature dropped: the model takes none")
    made.served(book, ex)
    return ex, book.totals(ex), book.close(ex)


def test_what_is_known_at_commit(done):
    headers = at_commit(done[0])
    assert headers["x-request-id"] == done[0].id
    assert headers["x-hapenny-route"] == "support"
    assert headers["x-hapenny-model"] == "cheap"
    assert headers["Cache-Status"] == "hapenny; fwd=bypass"
    assert "tiers;dur=1.20" in headers["Server-Timing"]
    assert "total;dur=900.00" in headers["Server-Timing"]
    assert headers["x-hapenny-notes"] == "temperature dropped: the model takes none"


def test_totals_are_the_books_to_the_nano_dollar(done):
    ex, money, row = done
    headers = at_end(ex, money)
    assert headers["x-hapenny-cost"] == f"{row.actual / 1e9:.9f}"
    assert headers["x-hapenny-saved"] == f"{row.saved / 1e9:.9f}"
    line = totals(ex, money)
    assert b"\n" not in line
    body = json.loads(line)
    assert body["cost_usd"] == headers["x-hapenny-cost"]
    assert body["savings_usd"] == {"tiers": headers["x-hapenny-saved"]}
    assert body["tokens"]["input"] == row.tokens.input


def test_an_unknown_price_says_so():
    clock = made.Clock()
    book = made.books(clock)
    ex = made.exchange(clock, made.ask(model="free-of-price"), baseline="free-of-price")
    made.served(book, ex)
    assert at_end(ex, book.totals(ex))["x-hapenny-cost"] == "unknown"
    assert at_end(ex, book.totals(ex))["x-hapenny-saved"] == "unknown"


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (CacheFact(layer="exact", hit=True, age=3.7, ttl=60.2, key="ab"),
         'hapenny; hit; ttl=60; key="ab"; detail=exact'),
        (CacheFact(layer="exact", hit=True, age=3.7, ttl=-4.0, detail="stale"),
         "hapenny; hit; ttl=-4; detail=exact/stale"),
        (CacheFact(layer="exact", hit=False, detail="miss", stored=True, ttl=300),
         "hapenny; fwd=miss; stored; ttl=300; detail=exact"),
        (CacheFact(layer="exact", hit=False, detail="no-cache"), "hapenny; fwd=request; detail=exact"),
        (CacheFact(layer="flights", hit=False, collapsed=True), "hapenny; fwd=miss; collapsed; detail=flights"),
        (CacheFact(layer="semantic", hit=False, detail="too far: .71"),
         'hapenny; fwd=miss; detail="semantic/too far: .71"'),
    ],
)  # fmt: skip
def test_cache_status_follows_rfc_9211(fact, said):
    assert cache_status(fact) == said
    token, string = r"[A-Za-z*][\w!#$%&'*+.^`|~:/-]*", r'"(?:[^"\\]|\\.)*"'
    assert re.fullmatch(rf"{token}(; [a-z][a-z0-9_.*-]*(=({token}|{string}|-?\d+))?)*", said)


def test_a_hit_has_an_age(done):
    ex = done[0]
    ex.cache = CacheFact(layer="exact", hit=True, age=3.7)
    assert at_commit(ex)["Age"] == "3"


def test_no_value_can_smuggle_a_header(done):
    ex = done[0]
    ex.note("a\r\nSet-Cookie: b=1\x00é" + "x" * 5_000)
    ex.cache = CacheFact(layer="exact", hit=False, detail='odd"\r\nX: y', key='"\\')
    for value in {**at_commit(ex), **at_end(*done[:2])}.values():
        assert re.fullmatch(r"[\x20-\x7e]*", value)
        assert len(value) < 2_000


def test_metrics_are_what_prometheus_reads(done):
    ex, _, row = done
    metrics = Metrics(Live(ex.clock))
    metrics.gauge("hapenny_ledger_waiting", "Rows not yet written.", lambda: 3.0)
    metrics.observe(ex, row)
    metrics.observe(ex, row)
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}

    def value(name, family=None, **labels):
        for sample in families[family or name].samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
        raise AssertionError(name)

    assert value("hapenny_requests_total", "hapenny_requests", route="support", outcome="delivered") == 2
    assert value("hapenny_cost_dollars_total", "hapenny_cost_dollars", model="cheap") == pytest.approx(
        2e-9 * row.actual
    )
    assert value("hapenny_saved_dollars", technique="tiers") == pytest.approx(2e-9 * row.saved)
    assert value("hapenny_tokens_total", "hapenny_tokens", model="cheap", kind="input") == 2 * row.tokens.input
    name = "hapenny_time_to_first_token_seconds"
    assert value(f"{name}_bucket", name, le="0.25", model="cheap") == 0
    assert value(f"{name}_bucket", name, le="0.5", model="cheap") == 2
    assert value(f"{name}_sum", name) == pytest.approx(2 * row.ttft)
    assert value("hapenny_ledger_waiting") == 3
    for family in families.values():
        if family.type in ("counter", "histogram") and "seconds" not in family.name:
            assert family.name.startswith("hapenny_")


def test_a_model_has_one_label_whatever_it_is_called():
    clock = made.Clock()
    book = made.books(clock)
    metrics = Metrics(Live(clock))
    metrics.canonical = metrics.live.canonical = book.prices.canonical
    for name in ("cheap", "arn:aws:bedrock:us-east-1::foundation-model/cheap", "unknown-model"):
        ex = made.exchange(clock, msgspec.structs.replace(made.ask(), stream=True))
        ex.target = Target(name)
        ex.step("tiers")
        made.served(book, ex)
        metrics.observe(ex, book.close(ex))
    families = text_string_to_metric_families(metrics.render().decode())
    calls = {
        (family.name, sample.labels["model"]): sample.value
        for family in families
        for sample in family.samples
        if "model" in sample.labels
        and sample.name in ("hapenny_calls_total", "hapenny_time_to_first_token_seconds_count")
    }
    assert calls == {
        ("hapenny_calls", "cheap"): 2,
        ("hapenny_calls", "unknown-model"): 1,
        ("hapenny_time_to_first_token_seconds", "cheap"): 2,
        ("hapenny_time_to_first_token_seconds", "unknown-model"): 1,
    }
    assert set(metrics.live.snapshot()) == {"cheap", "unknown-model"}


def test_series_are_bounded():
    counts = Counts()
    for n in range(MAX_SERIES + 50):
        counts.inc((f"route{n}",))
    assert len(counts) == MAX_SERIES + 1
    assert counts[("other",)] == 50
