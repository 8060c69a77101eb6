"""Skill 4.1.4: keys, exact, semantic, provider prefix, edge, pre-computation, flights.

May import the shared ground only.
"""
