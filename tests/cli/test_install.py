"""The wheel as people install it, and what the container starts with."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hapenny.config import load

ROOT = Path(__file__).parents[2]


def test_the_containers_configuration_is_served_as_it_is():
    config = load(ROOT / "deploy" / "container" / "hapenny.yaml")
    assert config.keys  # it listens on all addresses of the container
    assert config.ledger.path.startswith("/var/lib/hapenny/")


def test_what_the_container_file_copies_is_let_through():
    told = (ROOT / "Dockerfile").read_text()
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [word for line in re.findall(r"^COPY (?!--from)(.+)$", told, re.MULTILINE) for word in line.split()[:-1]]
    assert copied
    for each in copied:
        assert (ROOT / each).exists()
        assert any(each == one or each.startswith(f"{one}/") for one in allowed), each
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["hapenny"]
    assert compose["ports"] == ["127.0.0.1:8790:8790"]
    assert "USER 10001" in told


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_built_wheel_installs_into_an_environment_of_its_own_and_serves(tmp_path):
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path / "dist", ROOT], check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    env = {**os.environ, "UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    subprocess.run([uv, "tool", "install", "--quiet", "--python", sys.executable, str(wheel)], check=True, env=env)
    hapenny = tmp_path / "bin" / "hapenny"
    made = [hapenny, "init", "--provider", "openai", "--client", "openai", "--run", "chat", "-o", tmp_path / "h.yaml"]
    subprocess.run(made, check=True, cwd=tmp_path)
    said = subprocess.run([hapenny, "options", "routes"], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert "routes.NAME.preset" in said.stdout
    served = subprocess.Popen(
        [hapenny, "serve", "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env={**env, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert "hapenny listens on" in served.stdout.readline()
    finally:
        served.terminate()
        served.wait(30)
    run = [uv, "tool", "run", "--quiet", "--python", sys.executable, "--from", str(wheel), "hapenny", "--version"]
    assert "hapenny" in subprocess.run(run, check=True, capture_output=True, text=True, env=env, cwd=tmp_path).stdout
