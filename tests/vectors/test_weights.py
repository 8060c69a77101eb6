import shutil

import pytest

from hapenny.core.clock import RealClock
from hapenny.vectors import weights
from hapenny.vectors.minilm import MiniLM


def test_home_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HAPENNY_HOME", str(tmp_path))
    assert weights.model_folder() == tmp_path / "models" / "all-minilm-l6-v2"


def test_a_missing_model_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setenv("HAPENNY_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "wheel_folder", lambda: None)
    with pytest.raises(weights.ModelMissing, match="hapenny setup local"):
        MiniLM(RealClock()).encode(["hello"])


def test_wrong_weights_are_refused(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.safetensors").write_bytes(b"other weights")
    (source / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="sha256"):
        weights.build_model(source, tmp_path / "model")


def test_a_broken_build_is_built_again(monkeypatch, tmp_path, model_path):
    monkeypatch.setenv("HAPENNY_HOME", str(tmp_path))
    built = []
    monkeypatch.setattr(weights, "build_model", lambda source, folder: built.append(folder) or folder)
    shutil.copytree(model_path, weights.model_folder())
    assert weights.find_model() == weights.model_folder()
    (weights.model_folder() / "build").unlink()
    if weights.wheel_folder() is not None:
        weights.find_model()
        assert built == [weights.model_folder()]
