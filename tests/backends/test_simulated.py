"""The simulated backend under the gateway's limits, and backends from configuration."""

from pathlib import Path
from typing import Any

import pytest

from hapenny.backends.kinds import KINDS
from hapenny.backends.simulated import SimulatedBackend
from hapenny.backends.simulated_kind import QuotaOptions, SimulatedOptions
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.core.events import Usage
from hapenny.core.exchange import Limits, Target
from hapenny.simulation.loop import VirtualClock, run
from hapenny.simulation.provider import SimulatedProvider
from hapenny.simulation.workload.truth import Item
from hapenny.simulation.workload.truth_file import save
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


def built(**own: Any) -> Any:
    """A backend from its part of a configuration."""
    return KINDS["simulated"].build("s", SimulatedOptions(**own), RealClock(), None)


async def test_quota_and_faults_of_the_configuration() -> None:
    backend = built(quota=QuotaOptions(rpm=1))
    limits = Limits(1e12, 1e12)
    (await backend.call(asking(model="claude-3-haiku"), HAIKU, limits)).close()
    with pytest.raises(Failure, match="Too many requests"):
        await backend.call(asking(model="claude-3-haiku"), HAIKU, limits)
    broken = built(faults={"error": 1.0})
    with pytest.raises(Failure) as error:
        await broken.call(asking(), HAIKU, limits)
    assert error.value.upstream_status == 500
    with pytest.raises(Failure) as error:
        await broken.forward("GET", "/v1/nothing", {}, b"", limits)
    assert error.value.kind == "not_found"


def test_the_draw_and_the_truth_of_the_configuration(tmp_path: Path) -> None:
    item = Item(id="hours", intent="store", kind="grounded", right=("At nine.",), wrong=("At ten.",))
    path = tmp_path / "truth.jsonl"
    save(path, [("When do you open?", "", item)])
    backend = built(latents=3, truth=str(path))
    assert backend.provider.latents.seed == 3
    assert backend.provider.truth.find("when do you open")[0].id == "hours"


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"card": "tarot"}, "tarot"),
        ({"faults": {"flood": 0.1}}, "flood"),
        ({"faults": {"error": 7}}, "share"),
        ({"faults": {"slow": {"factors": 3}}}, "slow"),
        ({"truth": "/there/is/none"}, "truth: /there/is/none"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(own: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        built(**own)
