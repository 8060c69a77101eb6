"""Retrieval quality, speed, filters, compression, tuner, deletes, chunks and query rewriting."""
