"""Skill 4.2.6: ledger, content store, metrics, traces, live measures.

May import backends and everything below them.
"""
