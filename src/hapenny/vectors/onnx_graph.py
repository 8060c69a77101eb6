"""Writes the all-MiniLM-L6-v2 encoder as an ONNX file, from its weights. Runs when the model is set up, never after.

ONNX IR 9, operator set 20. int8: weights symmetric per output channel, activations asymmetric per tensor (dynamic
quantisation). Weights keep 7 of 8 bits, so that 16-bit accumulation on CPUs without VNNI cannot saturate and vectors
agree between machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hapenny.vectors.minilm_weights import HEADS, LAYERS, Weights

_FLOAT, _INT64 = 1, 7
_WEIGHT_MAX = 63


def write_graph(weights: Weights, path: Path, *, int8: bool) -> None:
    """Builds the encoder (`input_ids`, `attention_mask` int64 (n, t) -> `vectors` float32 (n, 384)) into `path`.

    Raises:
        ImportError: without the `onnx` package.
    """
    graph = _Graph(int8=int8)
    _encoder(graph, weights)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(graph.serialise())
    temporary.replace(path)


@dataclass
class _Graph:
    """Nodes and constants so far."""

    int8: bool
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    names: int = 0

    def tensor(self, value: NDArray[Any]) -> str:
        """A constant; returns its name."""
        from onnx import numpy_helper

        name = self._name("c")
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """A node; returns the name of its output, or a list of names."""
        names = [self._name("v") for _ in range(outputs)]
        self._node(operator, inputs, names, **attributes)
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
        from onnx import helper

        self._node("Identity", [f"v{self.names}"], ["vectors"])
        inputs = [helper.make_tensor_value_info(name, _INT64, ["n", "t"]) for name in ("input_ids", "attention_mask")]
        outputs = [helper.make_tensor_value_info("vectors", _FLOAT, ["n", 384])]
        graph = helper.make_graph(self.nodes, "all-minilm-l6-v2", inputs, outputs, initializer=self.constants)
        sets = [helper.make_opsetid("", 20)]
        model = helper.make_model(graph, producer_name="hapenny", ir_version=9, opset_imports=sets)
        return bytes(model.SerializeToString())

    def _name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}{self.names}"

    def _node(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), **attributes))


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
