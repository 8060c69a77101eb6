"""The simulated backend under the gateway's limits, and backends from configuration."""

from types import SimpleNamespace
from typing import Any

import pytest
from hapenny.backends.build import build

from hapenny.backends.simulated import SimulatedBackend
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.core.events import Usage
from hapenny.core.exchange import Limits, Target
from hapenny.simulation.loop import VirtualClock, run
from hapenny.simulation.provider import SimulatedProvider
from tests.backends.servers import asking, drain
from tests.simulation.helpers import ask

HAIKU = Target("claude-3-haiku")


def test_an_answer_within_its_limits() -> None:
    async def main(clock: VirtualClock) -> None:
        backend = SimulatedBackend("s", SimulatedProvider(clock))
        source = await backend.call(ask("Where is it?"), HAIKU, Limits(30, 600, 60))
        batches = await drain(source)
        assert isinstance(batches[-1][-1], Usage)
        assert batches[-1][-1].tokens.input == await backend.count(ask("Where is it?"), HAIKU)
        assert backend.provider.bill.calls == 1

    run(main)


@pytest.mark.parametrize(
    ("fault", "stream", "limits", "said", "at"),
    [
        ("hang", True, (30, 600, 60), "did not accept", 30),
        ("hang", False, (30, 600, 60), "not finished", 600),
        ("slow:50", True, (30, 20, 60), "not finished", 20),
    ],
)
def test_limits_end_what_does_not_end(
    fault: str, stream: bool, limits: tuple[float, float, float], said: str, at: float
) -> None:
    async def main(clock: VirtualClock) -> None:
        backend = SimulatedBackend("s", SimulatedProvider(clock))
        request = ask("Where is it?", stream=stream, metadata={"simulate_fault": fault})
        with pytest.raises(Failure, match=said) as error:
            await drain(await backend.call(request, HAIKU, Limits(*limits)))
        assert error.value.kind == "timeout"
        assert clock.now() == pytest.approx(at)
        assert backend.provider.open_calls == 0

    run(main)


def options(kind: str, **own: Any) -> SimpleNamespace:
    usual: dict[str, Any] = {
        "region": "us-east-1",
        "profile": None,
        "base_url": None,
        "api_key": None,
        "card": "manga-2024",
        "seed": 7,
        "latents": 0,
        "truth": None,
        "quota": None,
        "faults": {},
        "connections": None,
        "connect_s": 5.0,
        "idle_s": 60.0,
        "lifetime_s": 180.0,
    }
    return SimpleNamespace(kind=kind, **(usual | own))


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("bedrock", {"api_key": "k"}),
        ("bedrock", {"profile": "p"}),
        ("openai", {}),
        ("anthropic", {}),
        ("simulated", {}),
    ],
)
async def test_every_kind_is_built_without_a_connection(kind: str, own: dict[str, Any]) -> None:
    backend = build("b", options(kind, **own), RealClock())
    assert backend.name == "b"
    await backend.aclose()


def test_a_key_of_the_environment_goes_to_its_own_provider_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "mine")
    assert build("o", options("openai"), RealClock())._credentials == {"authorization": "Bearer mine"}  # type: ignore[attr-defined]
    assert build("o", options("openai", base_url="http://vllm:8000/v1"), RealClock())._credentials == {}  # type: ignore[attr-defined]


async def test_quota_and_faults_of_the_configuration() -> None:
    quota = SimpleNamespace(rpm=1, tpm=None)
    backend = build("s", options("simulated", quota=quota), RealClock())
    limits = Limits(1e12, 1e12)
    (await backend.call(asking(model="claude-3-haiku"), HAIKU, limits)).close()
    with pytest.raises(Failure, match="Too many requests"):
        await backend.call(asking(model="claude-3-haiku"), HAIKU, limits)
    broken = build("s", options("simulated", faults={"error": 1.0}), RealClock())
    with pytest.raises(Failure) as error:
        await broken.call(asking(), HAIKU, limits)
    assert error.value.upstream_status == 500
    with pytest.raises(Failure) as error:
        await broken.forward("GET", "/v1/nothing", {}, b"", limits)
    assert error.value.kind == "not_found"


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"card": "tarot"}, "tarot"),
        ({"faults": {"flood": 0.1}}, "flood"),
        ({"faults": {"error": 7}}, "share"),
        ({"faults": {"slow": {"factors": 3}}}, "slow"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(own: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build("s", options("simulated", **own), RealClock())
