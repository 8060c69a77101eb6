"""When requests are sent, and what they ask."""

import itertools

import pytest

from hapenny.core.clock import RealClock
from hapenny.simulation.workload.trace import Arrival
from hapenny.studies.loadtest.plan import plan, prompts_of


def test_a_rate_is_an_open_loop_of_that_rate():
    planned = plan(4_000, RealClock(3), rate=20.0)
    times = [each.at for each in planned]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(200, rel=0.1)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(gaps) > 5 * sum(gaps) / len(gaps)  # they come in bunches, as callers who do not know each other do


def test_callers_send_when_they_are_free():
    assert {each.at for each in plan(3, RealClock(0))} == {None}


def test_a_trace_gives_times_and_sizes_and_begins_anew():
    trace = [Arrival(0.0, 50, 10), Arrival(4.0, 80, 20)]
    planned = plan(4, RealClock(0), trace=trace, speed=2.0)
    assert [each.at for each in planned] == [0.0, 2.0, 2.5, 4.5]
    assert [each.max_tokens for each in planned] == [10, 20, 10, 20]
    assert [len(each.prompt.split()) for each in planned] == [50, 80, 50, 80]


def test_made_up_prompts_differ_from_their_first_word_on():
    firsts = {each.prompt.split()[0] for each in plan(500, RealClock(0))}
    assert len(firsts) == 500


def test_prompts_of_ones_own_are_asked_in_turn(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "one", "system": "s"}\n\n{"prompt": "two"}\n')
    planned = plan(3, RealClock(0), prompts=prompts_of(path))
    assert [(each.system, each.prompt) for each in planned] == [("s", "one"), ("", "two"), ("s", "one")]


@pytest.mark.parametrize("text", ["", '{"question": "?"}', "[1]", "no json"])
def test_what_is_no_prompt_is_named(tmp_path, text):
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match="Fix:"):
        prompts_of(path)
