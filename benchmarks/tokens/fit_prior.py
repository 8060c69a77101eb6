"""Makes `hapenny/counting/prior.py`: weights over byte classes for a first guess without any vocabulary.

python -m benchmarks.tokens.fit_prior --data DIR: ridge regression on relative error against o200k_base over the texts
of `token_counts`. Only the weights are kept, no text.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.tokens.data import rows
from hapenny.counting.features import NAMES, SIZE, features


def main() -> None:
    """Fit and print the module's text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    texts = rows(parser.parse_args().data, "token_counts")
    matrix = np.array([features(row["text"]) for row in texts])
    counts = np.array([row["tokens"]["o200k_base"] for row in texts], float)
    scaled = matrix / counts[:, None]
    weights = np.linalg.solve(scaled.T @ scaled + 0.05 * np.eye(SIZE), scaled.sum(0))
    print('"""Prior weights for counting without a vocabulary (made by `benchmarks/tokens/fit_prior.py`)."""\n')
    print("BYTES_ONLY: tuple[float, ...] = (")
    for name, weight in zip(NAMES, weights, strict=True):
        print(f"    {weight + 0.0:.3f},  # {name}")
    print(")")


if __name__ == "__main__":
    main()
