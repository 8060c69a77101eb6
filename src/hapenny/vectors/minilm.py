"""all-MiniLM-L6-v2 on the CPU by onnxruntime and tokenizers (extra `local`), loaded on first use.

A text is cut at 256 word pieces. Every text runs by itself: no padding is computed, and an int8 vector never depends
on what else was in the batch (activations are quantised per run).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hapenny.core.clock import Clock
from hapenny.vectors.embedder import Vectors
from hapenny.vectors.weights import MODEL, find_model

MAX_TOKENS = 256


class MiniLM:
    """384 numbers a text: about 1.5 ms for a short query in int8, 5 ms in fp32, on one core."""

    dim = 384

    def __init__(
        self, clock: Clock, *, quantisation: str = "int8", folder: Path | None = None, threads: int = 1
    ) -> None:
        """Loads nothing yet. `folder` holds the files that `install_model` made; found by itself if None."""
        if quantisation not in ("int8", "fp32"):
            raise ValueError(f"quantisation: {quantisation!r}; use int8 or fp32")
        self._clock, self._quantisation, self._folder, self._threads = clock, quantisation, folder, threads
        self._session: Any = None
        self._tokenizer: Any = None

    @property
    def name(self) -> str:
        """Model and quantisation."""
        return f"{MODEL}/{self._quantisation}"

    def load(self) -> None:
        """Opens the graph and the tokenizer (under 0.5 s); ModelMissing if `hapenny setup local` never ran."""
        if self._session is not None:
            return
        folder = self._folder or find_model()
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = folder / f"{self._quantisation}.onnx"
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.no_padding()
        self._tokenizer, self._session = tokenizer, session

    def tokens(self, text: str) -> NDArray[np.int64]:
        """The word-piece ids of one text, with [CLS] and [SEP]."""
        self.load()
        return np.array(self._tokenizer.encode(text).ids, dtype=np.int64)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, blocking."""
        self.load()
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(out, texts, strict=True):
            ids = self.tokens(text)[None, :]
            row[:] = self._session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
        return out

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (n, 384), computed off the loop."""
        return await self._clock.work("embed", len(texts), lambda: self.encode(texts))
