"""A plain numpy forward pass over the weights of all-MiniLM-L6-v2: the oracle for its graphs. About 20 ms a query."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hapenny.vectors.embedder import Vectors, unit
from hapenny.vectors.minilm_weights import HEADS, LAYERS, WIDTH, Weights


def forward(weights: Weights, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
    """Unit vectors (n, 384) of token ids (n, t) under a mask of the same shape."""
    count, length = ids.shape
    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][:length]
    x = _norm(x + weights["embeddings.token_type_embeddings.weight"][0], weights, "embeddings.LayerNorm")
    hidden = ((1 - mask) * -1e9).astype(np.float32)[:, None, None, :]
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        query, key, value = (
            _dense(x, weights, f"{prefix}attention.self.{name}").reshape(count, length, HEADS, -1).transpose(0, 2, 1, 3)
            for name in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(math.sqrt(WIDTH / HEADS)) + hidden
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        mixed = mixed.transpose(0, 2, 1, 3).reshape(count, length, WIDTH)
        x = _norm(
            x + _dense(mixed, weights, prefix + "attention.output.dense"),
            weights,
            prefix + "attention.output.LayerNorm",
        )
        wide = _gelu(_dense(x, weights, prefix + "intermediate.dense"))
        x = _norm(x + _dense(wide, weights, prefix + "output.dense"), weights, prefix + "output.LayerNorm")
    column = mask[:, :, None].astype(np.float32)
    return unit((x * column).sum(axis=1) / column.sum(axis=1))


def _dense(x: NDArray[np.float32], weights: Weights, name: str) -> NDArray[np.float32]:
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


def _norm(x: NDArray[np.float32], weights: Weights, name: str) -> NDArray[np.float32]:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    return np.asarray(scaled * weights[name + ".weight"] + weights[name + ".bias"], dtype=np.float32)


def _gelu(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """x * Phi(x), with erf by Abramowitz & Stegun 7.1.26 (error below 1.5e-7)."""
    z = np.abs(x) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    tail = (
        t
        * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
        * np.exp(-z * z)
    )
    return np.asarray(np.where(x >= 0, x * (1 - tail / 2), x * tail / 2), dtype=np.float32)
