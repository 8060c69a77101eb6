"""A workload goes through a whole gateway in virtual time, and quality stands beside money."""

import msgspec
import pytest

from hapenny.simulation.cards import MANGA_2024
from hapenny.simulation.changes import Change
from hapenny.simulation.provider import SimulatedProvider
from hapenny.simulation.workload.mix import load
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message, Population
from hapenny.studies import virtual_run
from hapenny.studies.virtual_run import Result, everything, paired, run
from tests.simulation.helpers import HAIKU_ID, SONNET_ID

SHOP = Shop()
MESSAGES = Population(load(), SHOP).messages(250, days=0.02)


@pytest.fixture(scope="module")
def off() -> Result:
    return run(MESSAGES, SHOP, config=everything("off", "manga-2024"))


def test_everything_off_is_the_baseline_model_and_its_bill(off: Result) -> None:
    assert len(off.records) == len(MESSAGES)
    assert not any(record.failure for record in off.records)
    assert {model for record in off.records for model in record.models} == {SONNET_ID}
    assert sum(record.actual or 0 for record in off.records) == off.bill
    assert all(record.saved == 0 for record in off.records)
    assert off.bill / len(MESSAGES) == pytest.approx(0.0105e9, rel=0.1)
    assert off.right == pytest.approx(0.89, abs=0.06)
    assert off.card == MANGA_2024.digest()


def test_a_message_with_a_tool_takes_two_requests(off: Result) -> None:
    for message, record in zip(MESSAGES, off.records, strict=True):
        assert record.number == message.number
        if message.item.call is not None:
            assert record.requests == 2
        assert record.first_s is not None
        assert record.whole_s is not None
        assert 0 < record.first_s <= record.whole_s


def test_two_runs_are_equal(off: Result) -> None:
    again = run(MESSAGES, SHOP, config=everything("off", "manga-2024"))
    assert msgspec.json.encode(again.records) == msgspec.json.encode(off.records)
    assert again.bill == off.bill


def test_another_draw_of_the_latents_is_right_elsewhere(off: Result) -> None:
    other = run(MESSAGES, SHOP, config=everything("off", "manga-2024"), latents=5)
    assert [record.right for record in other.records] != [record.right for record in off.records]
    assert other.bill == pytest.approx(off.bill, rel=0.05)


def test_a_saving_stands_beside_its_quality(off: Result) -> None:
    on = run(MESSAGES, SHOP, config=everything("safe", "manga-2024", holdout=0.0))
    quality = paired(on, off)
    assert on.bill < off.bill
    assert quality.messages == len(MESSAGES)
    assert quality.distinct <= len(MESSAGES)
    assert quality.difference == pytest.approx(0.0, abs=0.02)
    with pytest.raises(ValueError, match="not over the same messages"):
        paired(run(MESSAGES[:10], SHOP, config=everything("off", "manga-2024")), off)


def test_a_model_is_made_wrong_at_a_message(off: Result) -> None:
    def worse(provider: SimulatedProvider) -> None:
        provider.changes.add(Change(model=SONNET_ID, wrong=1.0))

    half = len(MESSAGES) // 2
    spoilt = run(MESSAGES, SHOP, config=everything("off", "manga-2024"), hooks={MESSAGES[half].number: worse})
    before = [record.right for record in spoilt.records[: half - 5]]
    assert before == [record.right for record in off.records[: half - 5]]
    assert sum(record.right for record in spoilt.records[half + 5 :]) < len(MESSAGES) * 0.05


def test_what_is_learnt_from_is_kept_apart(off: Result) -> None:
    before = virtual_run.apart(Population(load(), SHOP, seed=99).messages(120, days=0.02), MESSAGES)
    assert before
    assert not {message.item.id for message in before} & {message.item.id for message in MESSAGES}
    result = run(MESSAGES, SHOP, config=everything("off", "manga-2024"), learn=before)
    assert [record.number for record in result.learning] == [message.number for message in before]
    assert [record.right for record in result.records] == [record.right for record in off.records]
    assert result.bill == off.bill
    assert result.learning_bill == sum(record.actual or 0 for record in result.learning) > 0
    assert result.background == 0


def test_a_model_of_ones_choice_is_asked() -> None:
    cheap = run(MESSAGES[:40], SHOP, config=everything("off", "manga-2024"), model=HAIKU_ID)
    assert {model for record in cheap.records for model in record.models} == {HAIKU_ID}


def test_follow_ups_come_with_their_history() -> None:
    messages = Population(load(), SHOP).messages(1200, days=0.2)
    following = {message.number for message in messages if message.how == "follow_up"}
    kept = [message for message in messages if message.number in following or _followed(message, messages, following)]
    result = run(kept, SHOP, config=everything("off", "manga-2024"))
    right = [record.right for record in result.records if record.how == "follow_up"]
    assert sum(right) / len(right) > 0.7


def _followed(message: Message, messages: list[Message], following: set[int]) -> bool:
    return any(message.number in messages[number].earlier for number in following)


def test_the_command_prints_saving_and_quality(capsys: pytest.CaptureFixture[str]) -> None:
    virtual_run.main(["--messages", "60", "--preset", "safe", "--days", "0.01"])
    said = capsys.readouterr().out
    assert "of the bill at" in said
    assert "distinct questions" in said
    assert "requests a second" in said
