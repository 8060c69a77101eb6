"""Which languages an embedder was trained on, by its name: elsewhere its cosines say less than they seem to."""

from __future__ import annotations

_EVERY_LANGUAGE = ("hashed", "multi", "titan-embed-text-v2", "text-embedding-3", "embed-v4", "bge-m3", "e5-mistral")


def knows(embedder: str, language: str) -> bool:
    """Whether an embedder of that name was made for texts of a language (`en`, `vi`, `ja`, `other`).

    A name that says nothing of several languages counts as made for English.
    """
    return language == "en" or any(part in embedder.lower() for part in _EVERY_LANGUAGE)
