"""What is not installed is named with the pip line that installs it, by every verb and at start."""

import importlib.metadata
import re
import sys

import pytest
from click.testing import CliRunner

from hapenny.cli.extras import EXTRAS, pip_line
from hapenny.cli.main import main
from hapenny.cli.start_problems import problems_of


def wanted(extra):
    """Names of the distributions of an extra."""
    marked = [line for line in importlib.metadata.requires("hapenny") or () if f"extra == '{extra}'" in line]
    return {re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0].lower().replace("_", "-") for line in marked}


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_each_module_comes_with_its_extra(extra):
    providers = importlib.metadata.packages_distributions()
    names = wanted(extra)
    assert names, f"pyproject has no extra {extra}"
    for module in EXTRAS[extra]:
        brings = {name.lower().replace("_", "-") for name in providers.get(module.partition(".")[0], ())}
        assert not brings or brings & names, (module, brings, names)


def test_a_verb_without_its_extra_is_one_line_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tantivy", None)
    note = tmp_path / "note.txt"
    note.write_text("The shop opens at nine.")
    result = CliRunner().invoke(main, ["index", "build", str(tmp_path / "kb"), str(note), "--embedder", "hashed"])
    assert result.exit_code == 1
    assert "Fix: pip install 'hapenny[retrieval]'" in result.output
    assert "Traceback" not in result.output


def test_a_start_without_an_extra_names_it():
    [line] = problems_of(ModuleNotFoundError("No module named 'tantivy'", name="tantivy"))
    assert line == "No module named 'tantivy'. Fix: pip install 'hapenny[retrieval]'"
    assert pip_line("botocore.session") == "pip install 'hapenny[aws]'"
    assert pip_line("nothing_of_ours") == ""
