"""What is built from the table of stages: on a route with everything on, every stage, in the table's order."""

import json

from hapenny.config import STAGES, RouteOptions, load
from hapenny.gateway.gateway import Gateway
from hapenny.gateway.stages import BUILDERS
from tests.crossing.house import experiments


def gateway(tmp_path):
    file = experiments(tmp_path / "experiments.json", ("a", {}), ("b", {"system": "Be brief."}))
    config = f"ledger: null\nstages: {{semantic: {{embedder: hashed}}, arms: {{file: {json.dumps(str(file))}}}}}"
    return Gateway(load(text=config))


def test_every_stage_of_the_table_has_a_builder():
    assert set(BUILDERS) == set(STAGES)


def test_stages_stand_in_the_order_of_the_table(tmp_path):
    everything = RouteOptions(stages={spec.name: "on" for spec in STAGES})
    built = gateway(tmp_path).deck.stages(everything)
    assert [stage.spec for stage in built] == list(STAGES)
    assert [stage.name for stage in built] == [spec.name for spec in STAGES]


def test_what_is_off_on_a_route_is_not_built(tmp_path):
    some = RouteOptions(stages={spec.name: "off" for spec in STAGES} | {"exact": "on", "prune": "shadow"})
    assert [stage.name for stage in gateway(tmp_path).deck.stages(some)] == ["exact", "prune"]


def test_without_an_experiment_nothing_of_experiments_is_built():
    built = Gateway(load(text="ledger: null")).deck.stages(RouteOptions())
    assert not {"arms", "brevity"} & {stage.name for stage in built}
