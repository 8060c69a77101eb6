"""A layer that is off everywhere costs nothing at start: it is not even imported."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from hapenny.config import load
from hapenny.gateway.gateway import Gateway
import hapenny.server.app
gateway = Gateway(load(text={config!r}))
print({module!r} in sys.modules)
"""
CONFIG = "ledger: null\nroutes: {default: {preset: safe, stages: {STAGE: 'MODE'}}}"


@pytest.mark.parametrize(("mode", "there"), [("off", False), ("shadow", True), ("on", True)])
@pytest.mark.parametrize(
    ("stage", "module"),
    [("semantic", "hapenny.caching.semantic.cache"), ("retrieval", "hapenny.retrieval.stage")],
)
def test_a_layer_is_imported_where_a_route_has_it(stage, module, mode, there):
    script = SCRIPT.format(config=CONFIG.replace("STAGE", stage).replace("MODE", mode), module=module)
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.split() == [str(there)]
