"""Local embedders, the Embedder contract and every vector index.

May import stores, catalog and core.
"""
