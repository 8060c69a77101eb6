"""Words that people add to queries and documents do not answer to ("netflix", "full movie"), learnt from judgements.

They are dropped from the lexical leg only: the embedder reads the sentence as it came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from hapenny.retrieval.analysis import Analyser


def learn(
    examples: Iterable[tuple[str, Sequence[str]]], by: Analyser, *, least: int = 8, share: float = 0.3
) -> frozenset[str]:
    """Noise words of a collection.

    `examples`: (query, texts of its relevant documents). A word is noise if at least `least` queries have it and
    the relevant documents hold it (as a stem) in less than `share` of them, after adding one success and one failure.
    """
    seen: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for query, texts in examples:
        if not texts:
            continue
        held = [set(by.stems(text)) for text in texts]
        for word in dict.fromkeys(by.words(query)):
            stems = by.stems(word)
            if not stems:
                continue
            seen[word] += 1
            kept[word] += any(all(stem in terms for stem in stems) for terms in held)
    return frozenset(word for word, count in seen.items() if count >= least and (kept[word] + 1) / (count + 2) < share)
