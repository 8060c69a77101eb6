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
print(gateway.parts.semantic is not None, "hapenny.caching.semantic.cache" in sys.modules)
"""
CONFIG = "ledger: null\nroutes: {default: {preset: safe, stages: {semantic: 'MODE'}}}"


@pytest.mark.parametrize(("mode", "there"), [("off", False), ("shadow", True), ("on", True)])
def test_the_semantic_layer_is_imported_where_a_route_has_it(mode, there):
    script = SCRIPT.format(config=CONFIG.replace("MODE", mode))
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.split() == [str(there)] * 2
