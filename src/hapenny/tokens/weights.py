"""Weights of the relevance scorer (made by `benchmarks/tokens/fit_pruner.py`)."""

LEXICAL: tuple[float, ...] = ()
VECTORS: tuple[float, ...] = ()
