"""Dependencies are locked by hash, and the audit says what it did and what it could not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def audit(*words, lock=ROOT / "uv.lock"):
    command = [sys.executable, str(ROOT / ".ci" / "audit.py"), "--lock", str(lock), *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_every_file_that_could_be_installed_is_locked_by_its_hash():
    done = audit("--offline")
    assert done.returncode == 0, done.stderr
    assert "SHA-256" in done.stdout


def test_without_a_network_it_says_that_nothing_was_asked():
    assert "not asked" in audit("--offline").stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('hash = "sha256:', 'hash = "md5:'),
        ("https://files.pythonhosted.org/", "https://files.example.com/"),
        ('registry = "https://pypi.org/simple"', 'registry = "https://pypi.example.com/simple"'),
    ],
)
def test_one_file_that_is_not_locked_is_found(tmp_path, before, after):
    lock = tmp_path / "uv.lock"
    lock.write_text((ROOT / "uv.lock").read_text().replace(before, after, 1))
    done = audit("--offline", lock=lock)
    assert done.returncode == 1
    assert "audit:" in done.stderr


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not on the path")
def test_the_bill_of_materials_names_what_is_installed(tmp_path):
    out = tmp_path / "bill.json"
    command = ["uv", "export", "--quiet", "--frozen", "--all-extras", "--format", "cyclonedx1.5", "-o", str(out)]
    subprocess.run(command, check=True, cwd=ROOT)
    bill = json.loads(out.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    names = {component["name"] for component in bill["components"]}
    assert {"msgspec", "numpy", "cryptography"} <= names
