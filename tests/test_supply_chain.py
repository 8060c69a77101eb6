"""Dependencies are locked by hash, and the audit says what it did and what it could not."""

import base64
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


IMAGE = "registry.example/hapenny@sha256:" + "ab" * 32


@pytest.fixture
def signed(tmp_path):
    """Signs with a key of openssl's; what was written, and what was said."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on the path")
    key, bill, out = tmp_path / "key.pem", tmp_path / "bill.json", tmp_path / "signed"
    making = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key)]
    subprocess.run(making, check=True, capture_output=True)
    bill.write_text('{"bomFormat": "CycloneDX"}')

    def sign(image):
        command = [sys.executable, str(ROOT / ".ci" / "sign.py"), "--image", image, "--key", str(key)]
        command += ["--bill", str(bill), "--out", str(out)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    return sign, out, bill


def verified(public, signature, data):
    """Whether openssl, which knows nothing of ours, takes a signature."""
    raw = signature.with_suffix(".raw")
    raw.write_bytes(base64.b64decode(signature.read_bytes()))
    command = ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", str(raw), str(data)]
    return subprocess.run(command, capture_output=True).returncode == 0


def test_an_image_and_its_bill_of_materials_are_signed_as_cosign_verifies_them(signed):
    sign, out, bill = signed
    done = sign(IMAGE)
    assert done.returncode == 0, done.stderr
    said = json.loads((out / "payload.json").read_text())["critical"]
    assert said["image"]["docker-manifest-digest"] == IMAGE.partition("@")[2]
    assert said["identity"]["docker-reference"] == "registry.example/hapenny"
    assert said["type"] == "cosign container image signature"
    assert verified(out / "cosign.pub", out / "payload.sig", out / "payload.json")
    assert verified(out / "cosign.pub", out / "bill.sig", bill)
    bill.write_text('{"bomFormat": "another"}')
    assert not verified(out / "cosign.pub", out / "bill.sig", bill)
    assert f"cosign attach signature --payload {out}/payload.json" in done.stdout


def test_an_image_by_tag_is_not_signed(signed):
    sign, out, _ = signed
    done = sign("registry.example/hapenny:1.0")
    assert done.returncode == 1
    assert "by digest" in done.stderr
    assert not out.exists()
