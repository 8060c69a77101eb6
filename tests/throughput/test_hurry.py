"""Where a call with a deadline goes, and when a second one has to race it."""

import pytest

from hapenny.core.clock import RealClock
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.hurry import Hurry

CLOCK = RealClock(1)


def place(name, first=None, cost=1.0):
    made = Endpoint(name, CLOCK, cost_factor=cost)
    if first is not None:
        made.speed.began(0.0, first)
        made.speed.ended(0.0, first + 0.5, 0.5, 51)
    return made


def order(places, left=1.5, tokens=51, **rest):
    return [each.name for each in Hurry(left, tokens, **rest).order(places, 0.0)]


def test_the_operators_first_place_keeps_what_it_can_answer_in_time():
    assert order([place("home", 0.35), place("away", 0.3)])[0] == "home"


def test_a_clearly_slower_first_place_is_left():
    assert order([place("home", 0.9), place("away", 0.3)])[0] == "away"
    stays = order([place("home", 0.9), place("away", 0.3)], may=lambda reaction: reaction != "other_region")
    assert stays[0] == "home"


def test_a_dearer_tier_answers_only_what_the_usual_one_would_answer_too_late():
    places = [place("standard", 0.6), place("priority", 0.3, cost=1.75)]
    assert order(places, left=1.5)[0] == "standard"
    assert order(places, left=1.0)[0] == "priority"
    assert order(places, left=1.0, may=lambda reaction: reaction != "faster_tier")[0] == "standard"


def test_where_nothing_is_in_time_the_fastest_answers():
    assert order([place("home", 0.9), place("away", 0.3)], left=0.2)[0] == "away"


def test_a_place_that_nobody_knows_is_tried_once():
    places = [place("home", 0.3), place("new")]
    assert order(places)[0] == "new"
    assert order(places)[0] == "home"


def test_a_dearer_place_is_not_tried_without_need():
    places = [place("home", 0.3), place("new", cost=2.0)]
    assert order(places)[0] == "home"
    assert order(places, left=0.1)[0] == "new"


def test_a_second_call_races_while_it_can_still_be_in_time():
    places = [place("home", 0.3), place("away", 0.3)]
    assert Hurry(1.5, 51).race_in(places, 0.0) == pytest.approx(0.7)
    assert Hurry(0.5, 51).race_in(places, 0.0) is None
    assert Hurry(1.5, 51, may=lambda reaction: False).race_in(places, 0.0) is None
    assert Hurry(1.5, 51).race_in([place("new")], 0.0) is None
