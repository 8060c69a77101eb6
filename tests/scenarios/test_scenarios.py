"""Every scenario is played; without what it shows it fails; the runbooks are those of the scenarios."""

import pytest
from scenarios.__main__ import RUNBOOKS
from scenarios.play import found, play
from scenarios.runbooks import SKILLS, pages

from hapenny.core.errors import Failure

MODULES = found()
SHOWN = {module.SCENARIO.skill: name for name, module in MODULES.items() if module.SCENARIO.without is not None}


@pytest.mark.parametrize("name", MODULES)
def test_a_scenario_is_mastered(name):
    play(MODULES[name])


@pytest.mark.parametrize("skill", sorted(SHOWN))
def test_without_the_feature_it_is_not(skill):
    with pytest.raises((AssertionError, Failure)):
        play(MODULES[SHOWN[skill]], broken=True)


def test_there_are_five_for_each_skill():
    skills = [module.SCENARIO.skill for module in MODULES.values()]
    assert {skill: skills.count(skill) for skill in SKILLS} == dict.fromkeys(SKILLS, 5)


def test_the_runbooks_are_up_to_date():
    made = pages(MODULES)
    assert {page.name for page in RUNBOOKS.glob("*.md")} == made.keys()
    for name, text in made.items():
        assert (RUNBOOKS / name).read_text("utf-8") == text, "python -m scenarios --runbooks"
