"""Skill 4.2.2: ingest, chunking, query, lexical and vector legs, fusion, scoring, rerank, filters, tuner.

May import the shared ground only.
"""
