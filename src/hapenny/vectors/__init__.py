"""Local embedders, the Embedder contract and every vector index.

May import catalog and core.
"""

from hapenny.vectors.embedder import Embedder, Vectors, unit
from hapenny.vectors.exact import ExactIndex
from hapenny.vectors.growing import open_index
from hapenny.vectors.hashed import HashedEmbedder
from hapenny.vectors.index import Hits, Index

__all__ = ["Embedder", "ExactIndex", "HashedEmbedder", "Hits", "Index", "Vectors", "open_index", "unit"]
