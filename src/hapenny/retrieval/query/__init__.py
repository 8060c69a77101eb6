"""From what a person wrote to what is searched: five steps by rule, in English, Vietnamese and Japanese."""

from hapenny.retrieval.query.prepare import MAX_CHARACTERS, Query, normalise, prepare

__all__ = ["MAX_CHARACTERS", "Query", "normalise", "prepare"]
