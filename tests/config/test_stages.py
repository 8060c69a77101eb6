"""The table of stages, and what is derived from it."""

import pytest

from hapenny.config import LOSSY, PRESETS, STAGES, ConfigError, RouteOptions, StageOptions, load
from hapenny.core.stage_spec import Phase
from hapenny.routing.options import TIERS_STAGE
from hapenny.throughput.options import THROUGHPUT_STAGE


def test_every_stage_has_a_name_of_its_own_and_options_that_need_no_word():
    assert len({spec.name for spec in STAGES}) == len(STAGES)
    for spec in STAGES:
        assert spec.options() == spec.options()
        assert all(hasattr(spec.options(), name) for name in spec.answer_options), spec.name


def test_phases_follow_one_another():
    order = list(Phase)
    places = [order.index(spec.phase) for spec in STAGES]
    assert places == sorted(places)


def test_safe_switches_on_nothing_that_can_change_an_answer():
    assert [spec.name for spec in LOSSY if PRESETS["safe"][spec.name] == "on"] == []
    assert PRESETS["safe"].keys() == PRESETS["balanced"].keys() == PRESETS["demo"].keys()


def test_options_of_a_stage_are_read_by_name_in_the_file_and_by_spec_in_the_program():
    config = load(text="stages: {throughput: {retry_share: 0.3}}")
    assert config.stages[THROUGHPUT_STAGE].retry_share == 0.3
    assert config.stages[TIERS_STAGE] == TIERS_STAGE.options()
    assert StageOptions.__struct_fields__ == tuple(spec.name for spec in STAGES)


def test_a_stage_nobody_knows_is_refused_with_those_there_are():
    with pytest.raises(ConfigError) as refused:
        load(text="routes: {default: {stages: {prunes: on}}}")
    assert "$.routes.default.stages.prunes" in str(refused.value)
    assert "prune" in str(refused.value)
    with pytest.raises(ConfigError):
        load(text="stages: {prunes: {}}")


def test_a_routes_own_modes_go_before_its_presets():
    route = RouteOptions(preset="balanced", stages={"tiers": "shadow"})
    assert route.mode(TIERS_STAGE) == "shadow"
    assert route.modes() == {**PRESETS["balanced"], "tiers": "shadow"}
