"""`hapenny profile`: the bottleneck with what to do, and connections against what they should be."""

import json
import socket
import ssl
import threading

import pytest
from click.testing import CliRunner

from hapenny.cli.main import main
from hapenny.config import load
from hapenny.core.clock import RealClock
from hapenny.studies import connection_checks as checking
from hapenny.telemetry.bottleneck import bottleneck
from hapenny.telemetry.rolled_figures import Called
from hapenny.telemetry.sampled import Spending, percentiles
from tests.certificates import certificate
from tests.console.pages import made

CONFIG = """
backends:
  near: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: k, connections: 12, connect_s: 9, lifetime_s: 100}
  far: {kind: anthropic, api_key: k}
ledger: {path: "%s"}
"""


def spent(before, first, rest, stages):
    parts = {"before": before, "first": first, "rest": rest, "after": 0.001}
    return Spending(
        requests=100, overhead=percentiles([0.001] * 100),
        stages={name: percentiles([value] * 100) for name, value in stages.items()},
        parts={name: percentiles([value] * 100) for name, value in parts.items()},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("spending", "connecting", "worst", "fix"),
    [
        (spent(0.01, 0.4, 0.9, {"tiers": 0.001}), 0.0, "model", "shorter answers"),
        (spent(0.01, 0.9, 0.2, {"tiers": 0.001}), 0.0, "model", "faster tier or region"),
        (spent(0.9, 0.2, 0.2, {"retrieval": 0.88, "tiers": 0.001}), 0.0, "retrieval", "hapenny index tune"),
        (spent(0.9, 0.2, 0.2, {"semantic": 0.88}), 0.0, "processing", "highest p95"),
        (spent(0.9, 0.2, 0.2, {"tiers": 0.001}), 0.0, "queue", "more quota"),
        (spent(0.01, 0.7, 0.1, {"tiers": 0.001}), 0.6, "network", "VPC endpoint"),
    ],
)
def test_the_bottleneck_is_named_with_what_helps(spending, connecting, worst, fix):
    calls = [Called(model="slow-one", region="", tier="", purpose="serve", calls=10, ttft_p95=0.5)]
    verdict = bottleneck(spending, calls, connecting)
    assert verdict.worst.name == worst
    assert fix in verdict.worst.fix
    assert sum(part.share for part in verdict.parts) == pytest.approx(1.0)
    if worst == "model":
        assert "slow-one" in verdict.worst.about


def test_it_says_where_time_and_money_go(tmp_path):
    made(tmp_path / "l.db", 400, days=0.5)
    file = tmp_path / "h.yaml"
    file.write_text(CONFIG % (tmp_path / "l.db"))
    done = CliRunner().invoke(main, ["profile", "-c", str(file), "--since", "520w"])
    assert done.exit_code == 0, done.output
    for words in ("bottleneck: model", "what helps:", "slowest requests", "dearest requests", "our own overhead",
                  "vector queries", "top costs by feature", "backends.near.connect_s: 9 s (wanted: 5 s)",
                  "fix: backends.near.connect_s: 5", "calls at once at the busiest"):  # fmt: skip
        assert words in done.output
    assert max(map(len, done.output.splitlines())) <= 160
    found = json.loads(CliRunner().invoke(main, ["profile", "-c", str(file), "--since", "520w", "--json"]).output)
    assert len(found["slowest"]) == 5
    assert found["slowest"][0]["e2e"] >= found["slowest"][1]["e2e"]
    states = {each["name"]: each["state"] for each in found["checks"]}
    assert states["backends.near.lifetime_s"] == states["backends.far.connect_s"] == "good"
    assert states["backends.near.connect_s"] == "differs"


def test_a_pool_too_small_for_its_traffic_is_bad_and_one_that_follows_it_is_justified():
    config = load(text="backends: {a: {kind: openai, api_key: k, connections: 12}, b: {kind: anthropic, api_key: k}}")
    few, many = ({each.name: each for each in checking.settings(config, busy)} for busy in (8.0, 40.0))
    assert few["backends.a.connections"].state == "good"
    assert many["backends.a.connections"].state == "bad"
    assert many["backends.a.connections"].fix == "backends.a.connections: 40"
    assert many["backends.b.connections"].state == "differs"
    assert "40.0 calls at once" in many["backends.b.connections"].measured


def test_connections_that_are_not_kept_are_told():
    pool = {"opened": 60, "reused": 40, "queued": 3, "name_s": 0.01, "connect_s": 0.02, "tls_s": 0.03}
    reuse, waits = checking.pools({"main": pool})
    assert (reuse.state, "60 ms" in reuse.measured, "lifetime_s" in reuse.fix) == ("bad", True, True)
    assert waits.state == "bad"
    good, _ = checking.pools({"main": {**pool, "reused": 6_000, "queued": 0}})
    assert good.state == "good"


def test_calls_that_should_be_one_are_told():
    def made(purpose, calls):
        return Called(model="m", region="", tier="", purpose=purpose, calls=calls)

    checks = {each.name: each for each in checking.calls(
        [made("serve", 100), made("retry", 40), made("embed", 250)], 100, 12_000
    )}  # fmt: skip
    assert {name: each.state for name, each in checks.items()} == {
        "embedding calls a request": "bad", "attempts an answer": "bad", "prompt size, p95": "differs",
    }  # fmt: skip
    assert all(each.fix for each in checks.values())


def test_a_probe_times_names_connections_and_tls(tmp_path):
    certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    held = []

    def serve():
        for _ in range(2):
            plain, _ = listener.accept()
            held.append(context.wrap_socket(plain, server_side=True))

    thread = threading.Thread(target=serve)
    thread.start()
    trust = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    seen = checking.probe(f"https://localhost:{listener.getsockname()[1]}", RealClock(), trust=trust)
    thread.join()
    for each in (*held, listener):
        each.close()
    assert seen.private
    assert seen.tls_s > 0
    assert seen.resumed is not None
    checks = {each.name: each for each in checking.probed("near", seen, {})}
    assert set(checks) == {"near: names", "near: distance", "near: TLS"}
    with pytest.raises(OSError):
        checking.probe("http://127.0.0.1:9", RealClock())


def test_a_public_address_inside_aws_wants_an_endpoint():
    seen = checking.Probe(
        host="bedrock-runtime.us-east-1.amazonaws.com", name_s=0.02, name_again_s=0.001, connect_s=0.09, tls_s=0.1,
        tls_again_s=0.05, resumed=True, private=False,
    )  # fmt: skip
    inside = {each.name: each for each in checking.probed("bedrock", seen, {"AWS_EXECUTION_ENV": "AWS_ECS_FARGATE"})}
    outside = {each.name: each for each in checking.probed("bedrock", seen, {})}
    assert (inside["bedrock: VPC endpoint"].state, outside["bedrock: VPC endpoint"].state) == ("bad", "unknown")
    assert "interface endpoint" in inside["bedrock: VPC endpoint"].fix
    assert inside["bedrock: distance"].state == "bad"
    assert "nearer region" in inside["bedrock: distance"].fix
