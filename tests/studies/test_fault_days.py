"""Compressed days under faults keep their promises, and a day is found again by its number."""

import pytest

from hapenny.simulation.faults import KINDS
from hapenny.studies.fault_days import day, main
from hapenny.studies.fault_plan import MISHAPS, draw


@pytest.mark.parametrize("seed", range(60))
def test_a_short_day_keeps_its_promises(seed):
    ran = day(seed, 30)
    assert ran.broken == ()
    assert ran.answered + sum(ran.failures.values()) == 30


@pytest.mark.long
@pytest.mark.parametrize("part", range(20))
@pytest.mark.timeout(1_800)
def test_five_hundred_days_keep_their_promises(part):
    for seed in range(1_000 + part * 25, 1_025 + part * 25):
        ran = day(seed, 1_000)
        assert ran.broken == (), f"python -m hapenny.studies.fault_days {seed}"
        assert ran.answered + sum(ran.failures.values()) == 1_000


def test_the_same_seed_is_the_same_day():
    assert day(7, 60) == day(7, 60)
    assert day(7, 60) != day(8, 60)


def test_every_kind_of_fault_and_mishap_is_drawn():
    plans = [draw(seed, 10) for seed in range(60)]
    assert {fault.kind for plan in plans for fault in plan.faults} == set(KINDS)
    assert {mishap.kind for plan in plans for mishap in plan.mishaps} == set(MISHAPS)


def test_clients_that_leave_and_processes_that_end_are_told_from_failures():
    days = [day(seed, 60) for seed in (3, 12, 37)]
    assert any(ran.failures.get("left") for ran in days)
    assert all(ran.answered + sum(ran.failures.values()) == 60 for ran in days)


def test_the_command_tells_a_day(capsys):
    main(["3", "--requests", "20"])
    assert "3: " in capsys.readouterr().out
