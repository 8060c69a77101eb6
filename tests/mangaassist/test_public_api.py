"""The reference application stands on the public API alone."""

import ast
from pathlib import Path

import hapenny
import mangaassist


def test_the_application_imports_nothing_but_hapennys_public_names():
    for path in Path(mangaassist.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hapenny":
                assert node.module == "hapenny", f"{path.name} imports {node.module}"
                assert {alias.name for alias in node.names} <= set(hapenny.__all__)
            if isinstance(node, ast.Import):
                assert not any(alias.name.split(".")[0] == "hapenny" for alias in node.names), path.name


def test_all_public_names_are_there():
    for name in hapenny.__all__:
        assert getattr(hapenny, name) is not None
