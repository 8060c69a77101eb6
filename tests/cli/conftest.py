"""What tests of several verbs may take."""

import pytest
from click.testing import CliRunner

from hapenny.cli.main import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a verb in a folder of its own; its output. `ok`: whether it has to succeed."""
    monkeypatch.chdir(tmp_path)

    def invoke(*args, ok=True):
        done = CliRunner().invoke(main, [str(arg) for arg in args])
        assert (done.exit_code == 0) is ok, done.output
        return done.output

    return invoke
