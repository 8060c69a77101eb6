"""What is built from the table of stages: on a route with everything on, every stage, in the table's order."""

import json

from hapenny.config import STAGES, RouteOptions, load
from hapenny.gateway.gateway import Gateway
from hapenny.gateway.stages import BUILDERS
from tests.crossing.house import experiments


def built(tmp_path, route):
    """The stages of a route while an experiment runs."""
    file = experiments(tmp_path / "experiments.json", ("a", {}), ("b", {"system": "Be brief."}))
    config = load(
        text=f"ledger: null\nstages: {{semantic: {{embedder: hashed}}, arms: {{file: {json.dumps(str(file))}}}}}"
    )
    config.routes["default"] = route
    return Gateway(config).parts.pipelines["default"].stages


def test_every_stage_of_the_table_has_a_builder():
    assert set(BUILDERS) == set(STAGES)


def test_stages_stand_in_the_order_of_the_table(tmp_path):
    everything = RouteOptions(stages={spec.name: "on" for spec in STAGES})
    stages = built(tmp_path, everything)
    assert [stage.spec for stage in stages if stage.spec is not None] == list(STAGES)
    names = [stage.name for stage in stages]
    assert names.index("fallbacks") == names.index("tiers") + 1
    assert names.index("speed") == names.index("fallbacks") + 1
    names.remove("fallbacks")
    names.remove("speed")
    if "retrieval_ahead" in names:
        assert names.index("semantic") == names.index("retrieval_ahead") + 1
        names.remove("retrieval_ahead")
    names.remove("consent")
    assert names == [spec.name for spec in STAGES]


def test_what_is_off_on_a_route_is_not_built_but_for_fallbacks(tmp_path):
    some = RouteOptions(stages={spec.name: "off" for spec in STAGES} | {"exact": "on", "prune": "shadow"})
    assert [stage.name for stage in built(tmp_path, some)] == ["consent", "exact", "fallbacks", "prune"]


def test_without_an_experiment_nothing_of_experiments_is_built():
    stages = Gateway(load(text="ledger: null")).parts.pipelines["default"].stages
    assert not {"arms", "brevity"} & {stage.name for stage in stages}
