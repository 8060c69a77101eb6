"""Audits what is installed: hashes offline, known vulnerabilities where their database can be reached.

    python .ci/audit.py [--lock uv.lock] [--offline]

Fails if a package of the lock has a file without a SHA-256 or of another registry than PyPI, or if `pip-audit` finds a
known vulnerability. The database (PyPI's, which is OSV's) is asked over the network: without one the audit says that
nothing was asked, and does not fail.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

REGISTRY = "https://pypi.org/simple"
FILES = "https://files.pythonhosted.org/"
DATABASE = ("pypi.org", 443)


def problems(lock: Path) -> list[str]:
    """What is wrong with a lock."""
    found = []
    for package in tomllib.loads(lock.read_text(encoding="utf-8"))["package"]:
        name, source = package["name"], package.get("source", {})
        if "editable" in source or "virtual" in source:
            continue  # the project itself
        if source.get("registry") != REGISTRY:
            found.append(f"{name}: comes from {source}")
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        if not files:
            found.append(f"{name}: has no files")
        found += [f"{name}: {each.get('url')} has no SHA-256" for each in files if not _hashed(each)]
        found += [
            f"{name}: {each['url']} lies elsewhere" for each in files if not each.get("url", "").startswith(FILES)
        ]
    return found


def _hashed(file: dict[str, str]) -> bool:
    kind, _, digest = file.get("hash", "").partition(":")
    return kind == "sha256" and len(digest) == 64


def reachable() -> bool:
    """Whether the database can be asked."""
    try:
        socket.create_connection(DATABASE, timeout=3.0).close()
    except OSError:
        return False
    return True


def vulnerabilities(uv: list[str]) -> int | None:
    """Whether something that is locked has a known hole: 1 or 0; None: nobody could be asked."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        export = [*uv, "export", "--quiet", "--frozen", "--all-extras", "--no-emit-project", "-o", str(wanted)]
        subprocess.run(export, check=True)
        tool = [
            *uv,
            "run",
            "--quiet",
            "--isolated",
            "--frozen",
            "--only-group",
            "audit",
            "pip-audit",
        ]  # as it is locked
        if subprocess.run([*tool, "--version"], capture_output=True).returncode:
            return None
        asked = [*tool, "--disable-pip", "--require-hashes", "-r", str(wanted), "--format", "json"]
        done = subprocess.run(asked, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return None
    known = [each for each in packages if "skip_reason" not in each]
    for each in known:
        for hole in each.get("vulns", []):
            print(
                f"audit: {each['name']} {each['version']}: {hole['id']}, mended in {hole['fix_versions']}",
                file=sys.stderr,
            )
    if not known:
        return None
    print(f"audit: {len(known)} of {len(packages)} packages are in the database of known vulnerabilities")
    return 1 if any(each.get("vulns") for each in known) else 0


def main() -> int:
    """The whole audit."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lock", type=Path, default=Path("uv.lock"))
    options.add_argument("--offline", action="store_true", help="Ask nobody.")
    chosen = options.parse_args()
    found = problems(chosen.lock)
    for each in found:
        print(f"audit: {each}", file=sys.stderr)
    if found:
        return 1
    print("audit: every file of the lock has its SHA-256")
    found_uv = shutil.which("uv") or shutil.which("uv", path=".tools/bin")  # where the Makefile puts it
    uv = [found_uv] if found_uv else [sys.executable, "-m", "uv"]
    if chosen.offline or not reachable():
        print("audit: not asked for known vulnerabilities: their database cannot be reached from here")
        return 0
    status = vulnerabilities([str(part) for part in uv])
    if status is None:
        print("audit: not asked for known vulnerabilities: the database does not answer here")
        return 0
    return status


if __name__ == "__main__":
    sys.exit(main())
