"""A small collection with vectors that need no model: hashed words."""

import numpy as np
import pytest

from hapenny.retrieval.documents import Document
from hapenny.retrieval.stores.embedded import EmbeddedStore
from hapenny.vectors.embedder import unit

DIM = 64

FILMS = [
    ("1", "The Iron Giant", "A boy befriends a giant robot from space in Maine", ["Animation", "Family"], 1999, 9000),
    ("2", "Iron Man", "A billionaire builds a suit of armour in a cave", ["Action"], 2008, 21000),
    ("3", "Iron Man 2", "The inventor of the armour faces a rival with whips", ["Action"], 2010, 17000),
    ("4", "The Notebook", "A poor man falls in love with a rich young woman", ["Romance", "Drama"], 2004, 8000),
    ("5", "Robots", "A young inventor robot leaves for the city", ["Animation"], 2005, 3000),
    ("6", "WALL-E", "A lonely robot cleans the earth and falls in love", ["Animation", "Family"], 2008, 15000),
    ("7", "Love Actually", "Ten stories of love in London before Christmas", ["Romance", "Comedy"], 2003, 6000),
    ("8", "Gravity", "Two astronauts are lost in space after debris hits", ["Drama"], 2013, 12000),
]


def vector_of(text: str) -> np.ndarray:
    """A unit vector: every word pushes in a fixed direction."""
    total = np.full(DIM, 1e-3, np.float32)
    for word in text.lower().split():
        seed = int.from_bytes(word.strip(".,?").encode()[:8].ljust(8, b"\0"), "big") % (2**32)
        total += np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return unit(total[None])[0]


def vectors_of(documents: list[Document]) -> np.ndarray:
    return np.stack([vector_of(document.searchable()) for document in documents])


@pytest.fixture(scope="session")
def films() -> list[Document]:
    return [
        Document(
            id=key,
            title=title,
            text=text,
            facets={"genre": genres},
            numbers={"year": float(year), "votes": float(votes)},
        )
        for key, title, text, genres, year, votes in FILMS
    ]


@pytest.fixture
def store(films: list[Document]) -> EmbeddedStore:
    made = EmbeddedStore(DIM, "en")
    made.upsert(films, vectors_of(films))
    made.commit()
    return made
