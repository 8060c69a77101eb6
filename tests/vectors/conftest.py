"""The local model, built once per machine or skipped where its weights are not installed."""

import pytest

from hapenny.core.clock import RealClock
from hapenny.vectors.minilm import MiniLM
from hapenny.vectors.weights import ModelMissing, find_model


@pytest.fixture(scope="session")
def model_path():
    try:
        return find_model()
    except ModelMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def int8(model_path):
    return MiniLM(RealClock(), quantisation="int8")


@pytest.fixture(scope="session")
def fp32(model_path):
    return MiniLM(RealClock(), quantisation="fp32")
