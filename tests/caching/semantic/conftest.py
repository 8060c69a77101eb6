import pytest

from hapenny.core.clock import RealClock
from hapenny.vectors.minilm import MiniLM
from hapenny.vectors.weights import ModelMissing, find_model

from .rig import trained


@pytest.fixture(scope="session")
def embedder():
    try:
        find_model()
    except ModelMissing as missing:
        pytest.skip(str(missing))
    return MiniLM(RealClock())


@pytest.fixture(scope="session")
def open_cache(embedder):
    """A cache that has opened on constructed traffic. Session wide: tests only look."""
    return trained(embedder)
