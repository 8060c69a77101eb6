"""Every scenario is played; without what it shows each one fails; the runbooks are those of the scenarios."""

import pytest
from scenarios.__main__ import RUNBOOKS
from scenarios.play import found, play
from scenarios.runbooks import SKILLS, pages

from hapenny.core.errors import Failure

MODULES = found()
REAL = [name for name, module in MODULES.items() if module.SCENARIO.real]
QUICK = [name for name in MODULES if name not in REAL]


@pytest.mark.parametrize("name", MODULES)
def test_a_scenario_is_mastered(name):
    play(MODULES[name])


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.long) for name in REAL)])
def test_without_the_feature_it_is_not(name):
    with pytest.raises((AssertionError, Failure)):
        play(MODULES[name], broken=True)


@pytest.mark.parametrize("name", MODULES)
def test_each_says_how_it_is_without(name):
    scenario = MODULES[name].SCENARIO
    assert (scenario.without is None) != (scenario.naive == "")


def test_there_are_five_for_each_skill():
    skills = [module.SCENARIO.skill for module in MODULES.values()]
    assert {skill: skills.count(skill) for skill in SKILLS} == dict.fromkeys(SKILLS, 5)


def test_the_runbooks_are_up_to_date():
    made = pages(MODULES)
    assert {page.name for page in RUNBOOKS.glob("*.md")} == made.keys()
    for name, text in made.items():
        assert (RUNBOOKS / name).read_text("utf-8") == text, "python -m scenarios --runbooks"
