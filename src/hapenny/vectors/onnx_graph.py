"""Writes the all-MiniLM-L6-v2 encoder as an ONNX file, from its weights, without the `onnx` package.

The file is protobuf (ONNX IR 9, operator set 20); the dozen message fields it needs are written by hand.
int8: weights symmetric per output channel, activations asymmetric per tensor (dynamic quantisation). Weights keep 7
of 8 bits, so that 16-bit accumulation on CPUs without VNNI cannot saturate and vectors agree between machines.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hapenny.vectors.bert import HEADS, LAYERS, Weights

_KINDS = {"float32": 1, "uint8": 2, "int8": 3, "int64": 7}
_FLOAT, _INT64 = 1, 7
_WEIGHT_MAX = 63


def write_graph(weights: Weights, path: Path, *, int8: bool) -> None:
    """Builds the encoder (`input_ids`, `attention_mask` int64 (n, t) -> `vectors` float32 (n, 384)) into `path`."""
    graph = _Graph(int8=int8)
    _encoder(graph, weights)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(graph.serialise())
    temporary.replace(path)


@dataclass
class _Graph:
    """Nodes and tensors so far, already encoded."""

    int8: bool
    nodes: list[bytes] = field(default_factory=list)
    tensors: list[bytes] = field(default_factory=list)
    names: int = 0

    def tensor(self, value: NDArray[Any]) -> str:
        """A constant; returns its name."""
        name = self._name("c")
        dims = b"".join(_int(1, size) for size in value.shape)
        raw = _bytes(9, np.ascontiguousarray(value).tobytes())
        self.tensors.append(dims + _int(2, _KINDS[value.dtype.name]) + _bytes(8, name.encode()) + raw)
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """A node; returns the name of its output, or a list of names."""
        names = [self._name("v") for _ in range(outputs)]
        self._node(operator, inputs, names, attributes)
        return names[0] if outputs == 1 else names

    def dense(self, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        """x @ weight.T + bias for a weight of shape (out, in)."""
        if not self.int8:
            product = self.add("MatMul", x, self.tensor(weight.T))
            return str(self.add("Add", product, self.tensor(bias)))
        scale = np.maximum(np.abs(weight).max(axis=1), 1e-12) / _WEIGHT_MAX
        whole = np.rint(weight / scale[:, None]).astype(np.int8)
        quantised, x_scale, x_zero = self.add("DynamicQuantizeLinear", x, outputs=3)
        zero = self.tensor(np.zeros((), dtype=np.int8))
        product = self.add("MatMulInteger", quantised, self.tensor(whole.T), x_zero, zero)
        scales = self.add("Mul", x_scale, self.tensor(scale.astype(np.float32)))
        rescaled = self.add("Mul", self.add("Cast", product, to=_FLOAT), scales)
        return str(self.add("Add", rescaled, self.tensor(bias)))

    def norm(self, x: str, gain: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        """Layer normalisation over the last axis."""
        return str(self.add("LayerNormalization", x, self.tensor(gain), self.tensor(bias), axis=-1, epsilon=1e-12))

    def serialise(self) -> bytes:
        """The model file."""
        self._node("Identity", [f"v{self.names}"], ["vectors"], {})
        graph = b"".join(_bytes(1, node) for node in self.nodes) + _bytes(2, b"all-minilm-l6-v2")
        graph += b"".join(_bytes(5, tensor) for tensor in self.tensors)
        for name in ("input_ids", "attention_mask"):
            graph += _bytes(11, _value(name, _INT64, ["n", "t"]))
        graph += _bytes(12, _value("vectors", _FLOAT, ["n", 384]))
        return _int(1, 9) + _bytes(2, b"hapenny") + _bytes(7, graph) + _bytes(8, _int(2, 20))

    def _name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}{self.names}"

    def _node(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Any]
    ) -> None:
        node = b"".join(_bytes(1, name.encode()) for name in inputs)
        node += b"".join(_bytes(2, name.encode()) for name in outputs)
        node += _bytes(4, operator.encode())
        node += b"".join(_bytes(5, _attribute(name, value)) for name, value in attributes.items())
        self.nodes.append(node)


def _encoder(graph: _Graph, weights: Weights) -> None:
    """Embeddings, six layers, masked mean, length 1."""
    words, places = weights["embeddings.word_embeddings.weight"], weights["embeddings.position_embeddings.weight"]
    places = places + weights["embeddings.token_type_embeddings.weight"][0]
    one, heads = graph.tensor(np.array([1])), graph.tensor(np.array([0, 0, HEADS, 32]))
    length = graph.add("Slice", graph.add("Shape", "input_ids"), one, graph.tensor(np.array([2])))
    position = graph.add(
        "Slice", graph.tensor(places), graph.tensor(np.array([0])), length, graph.tensor(np.array([0]))
    )
    x = graph.add("Add", _lookup(graph, words), position)
    x = graph.norm(x, weights["embeddings.LayerNorm.weight"], weights["embeddings.LayerNorm.bias"])
    mask = graph.add("Cast", "attention_mask", to=_FLOAT)
    hidden = graph.add("Mul", graph.add("Sub", _scalar(graph, 1.0), mask), _scalar(graph, -1e9))
    hidden = graph.add("Unsqueeze", hidden, graph.tensor(np.array([1, 2])))
    for layer in range(LAYERS):
        x = _layer(graph, x, hidden, heads, weights, f"encoder.layer.{layer}.")
    column = graph.add("Unsqueeze", mask, graph.tensor(np.array([2])))
    total = graph.add("ReduceSum", graph.add("Mul", x, column), one, keepdims=0)
    mean = graph.add("Div", total, graph.add("ReduceSum", column, one, keepdims=0))
    graph.add("LpNormalization", mean, axis=-1, p=2)


def _layer(graph: _Graph, x: str, hidden: str, heads: str, weights: Weights, prefix: str) -> str:
    """One transformer layer; queries are scaled in their weights, and the three projections are one product."""
    shrink = np.float32(1 / np.sqrt(32))
    parts = [(name, shrink if name == "query" else np.float32(1)) for name in ("query", "key", "value")]
    weight = np.concatenate([weights[f"{prefix}attention.self.{name}.weight"] * by for name, by in parts])
    bias = np.concatenate([weights[f"{prefix}attention.self.{name}.bias"] * by for name, by in parts])
    sizes = graph.tensor(np.array([384, 384, 384]))
    query, key, value = graph.add("Split", graph.dense(x, weight, bias), sizes, outputs=3, axis=-1)
    query = graph.add("Transpose", graph.add("Reshape", query, heads), perm=[0, 2, 1, 3])
    key = graph.add("Transpose", graph.add("Reshape", key, heads), perm=[0, 2, 3, 1])
    value = graph.add("Transpose", graph.add("Reshape", value, heads), perm=[0, 2, 1, 3])
    scores = graph.add("Softmax", graph.add("Add", graph.add("MatMul", query, key), hidden), axis=-1)
    mixed = graph.add("Transpose", graph.add("MatMul", scores, value), perm=[0, 2, 1, 3])
    mixed = graph.add("Reshape", mixed, graph.tensor(np.array([0, 0, 384])))
    x = _residual(graph, x, mixed, weights, prefix + "attention.output.")
    wide = graph.dense(x, weights[prefix + "intermediate.dense.weight"], weights[prefix + "intermediate.dense.bias"])
    return _residual(graph, x, graph.add("Gelu", wide), weights, prefix + "output.")


def _residual(graph: _Graph, x: str, y: str, weights: Weights, prefix: str) -> str:
    dense = graph.dense(y, weights[prefix + "dense.weight"], weights[prefix + "dense.bias"])
    return graph.norm(
        graph.add("Add", x, dense), weights[prefix + "LayerNorm.weight"], weights[prefix + "LayerNorm.bias"]
    )


def _lookup(graph: _Graph, words: NDArray[np.float32]) -> str:
    """Word vectors; in int8 with one scale a row."""
    if not graph.int8:
        return str(graph.add("Gather", graph.tensor(words), "input_ids"))
    scale = np.maximum(np.abs(words).max(axis=1, keepdims=True), 1e-12) / 127
    whole = graph.add("Gather", graph.tensor(np.rint(words / scale).astype(np.int8)), "input_ids")
    scales = graph.add("Gather", graph.tensor(scale.astype(np.float32)), "input_ids")
    return str(graph.add("Mul", graph.add("Cast", whole, to=_FLOAT), scales))


def _scalar(graph: _Graph, value: float) -> str:
    return graph.tensor(np.array(value, dtype=np.float32))


def _attribute(name: str, value: Any) -> bytes:
    out = _bytes(1, name.encode())
    if isinstance(value, float):
        return out + _key(2, 5) + struct.pack("<f", value) + _int(20, 1)
    if isinstance(value, int):
        return out + _int(3, value) + _int(20, 2)
    return out + b"".join(_int(8, item) for item in value) + _int(20, 7)


def _value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(_bytes(1, _int(1, d) if isinstance(d, int) else _bytes(2, d.encode())) for d in shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _int(1, kind) + _bytes(2, dims)))


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _int(number: int, value: int) -> bytes:
    return _key(number, 0) + _varint(value & 0xFFFFFFFFFFFFFFFF)


def _bytes(number: int, value: bytes) -> bytes:
    return _key(number, 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
