"""The contexts of the pruning measurements: a question, passages with sentences, and what must survive."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.tokens.data import Row, rows
from hapenny.tokens.analysis import is_vietnamese, terms
from hapenny.tokens.segments import units


@dataclass
class Case:
    """One request: `passages` are (title, sentences); `kept` says how much of the evidence the kept places hold."""

    name: str
    group: str
    question: str
    passages: list[tuple[str, list[str]]]
    evidence: list[list[bool]]
    share: bool = False  # True: mean share of the evidence; False: any of it is enough
    weights: list[list[float]] = field(default_factory=list)
    titles: list[bool] = field(default_factory=list)  # the passage's title, kept with any of its sentences, answers
    own: int | None = None  # the passage that was annotated, where others may hold the answer string too

    def kept(self, places: Collection[tuple[int, int]], *, strict: bool = False, titled: bool = True) -> float:
        """The share of evidence that survives at the kept (passage, sentence) places.

        `strict`: only in the annotated passage. `titled`: a title that answers counts, since it is sent and paid for
        with any sentence of its passage.
        """
        gold = [(p, s) for p, row in enumerate(self.evidence) for s, is_gold in enumerate(row) if is_gold]
        if not self.share:
            wanted = {place for place in gold if not strict or self.own in (None, place[0])}
            headed = {
                p for p, is_gold in enumerate(self.titles) if titled and is_gold and (not strict or p == self.own)
            }
            return float(any(place in wanted or place[0] in headed for place in places))
        sizes = [self.weights[p][s] if self.weights else 1.0 for p, s in gold]
        return sum(size for size, place in zip(sizes, gold, strict=True) if place in places) / max(sum(sizes), 1e-9)


class Bm25:
    """A plain BM25 (k1 1.2, b .75) over whole passages, for finding distractors."""

    def __init__(self, texts: list[str]) -> None:
        self._postings: dict[str, list[tuple[int, int]]] = {}
        lengths = []
        for index, text in enumerate(texts):
            found = terms(text, pairs=is_vietnamese(text))
            lengths.append(len(found))
            for term, times in Counter(found).items():
                self._postings.setdefault(term, []).append((index, times))
        self._norm = 1.2 * (0.25 + 0.75 * np.array(lengths) / (sum(lengths) / max(1, len(lengths))))

    def nearest(self, query: str) -> list[int]:
        """Indices, best first."""
        scores = np.zeros(len(self._norm))
        for term in set(terms(query, pairs=is_vietnamese(query))):
            postings = self._postings.get(term, [])
            idf = math.log(1 + (len(scores) - len(postings) + 0.5) / (len(postings) + 0.5))
            for index, times in postings:
                scores[index] += idf * times * 2.2 / (times + self._norm[index])
        return [int(index) for index in np.argsort(-scores, kind="stable")]


def _holds(text: str, answers: list[str]) -> bool:
    low = text.lower()
    return any(answer.lower() in low for answer in answers if answer)


def nq(directory: Path, limit: int | None = None) -> list[Case]:
    """Gold and the nine nearest passages that hold no answer string, seeded shuffle."""
    items = rows(directory, "nq_oracle")
    index = Bm25([f"{row['title']} {row['passage']}" for row in items])
    rng = random.Random(5)
    cases = []
    for row in items[:limit]:
        others = _distractors(index, items, row["question"], row["answers"], row["title"])
        passages = [(row["title"], units(row["passage"]))] + [(o["title"], units(o["passage"])) for o in others]
        order = rng.sample(range(len(passages)), len(passages))
        gold = [[p == 0 and _holds(s, row["answers"]) for s in passages[p][1]] for p in order]
        cases.append(Case("nq", row["title"], row["question"], [passages[p] for p in order], gold))
    return cases


def _distractors(index: Bm25, items: list[Row], question: str, answers: list[str], title: str) -> list[Row]:
    found: list[Row] = []
    for place in index.nearest(question):
        other = items[place]
        if not _holds(f"{other['title']} {other['passage']}", answers):
            found.append(other)
            if len(found) == 9:
                break
    return found


def clapnq(directory: Path, limit: int | None = None) -> list[Case]:
    """The annotated passage among nine from `nq_oracle` that hold neither an answer nor a gold sentence."""
    items = rows(directory, "nq_oracle")
    index = Bm25([f"{row['title']} {row['passage']}" for row in items])
    rng = random.Random(6)
    cases = []
    for row in rows(directory, "clapnq")[:limit]:
        others = _distractors(index, items, row["question"], [*row["answers"], *row["gold"]], row["title"])
        others = [other for other in others if other["title"] != row["title"]]
        passages = [(row["title"], list(row["sentences"]))] + [(o["title"], units(o["passage"])) for o in others]
        order = rng.sample(range(len(passages)), len(passages))
        gold = [[p == 0 and s in row["gold"] for s in passages[p][1]] for p in order]
        cases.append(Case("clapnq", row["title"], row["question"], [passages[p] for p in order], gold, share=True))
    return [case for case in cases if any(map(any, case.evidence))]


def hotpot(directory: Path, limit: int | None = None) -> list[Case]:
    """The question's own ten documents."""
    cases = []
    for row in rows(directory, "hotpot100")[:limit]:
        wanted = {(title, int(place)) for title, place in row["gold"]}
        passages = [(doc["title"], list(doc["sentences"])) for doc in row["docs"]]
        gold = [[(title, place) in wanted for place in range(len(found))] for title, found in passages]
        cases.append(Case("hotpot", row["id"], row["question"], passages, gold, share=True))
    return cases


def _squad_gold(cut: list[str], answers: list[Row]) -> list[bool]:
    return [any(answer["text"] and answer["text"] in sentence for answer in answers) for sentence in cut]


def xquad(directory: Path, language: str, limit: int | None = None) -> list[Case]:
    """All paragraphs of the article; the evidence is an answer string in any sentence."""
    cases = []
    for article in rows(directory, f"xquad_{language}"):
        cut = [("", units(paragraph["context"])) for paragraph in article["paragraphs"]]
        for place, paragraph in enumerate(article["paragraphs"]):
            for qa in paragraph["qas"]:
                gold = [_squad_gold(sentences, qa["answers"]) for _, sentences in cut]
                cases.append(Case(f"xquad_{language}", article["title"], qa["question"], cut, gold, own=place))
    return cases[:: max(1, len(cases) // limit)] if limit else cases


def jsquad(directory: Path, limit: int | None = None) -> list[Case]:
    """The paragraph and the nine nearest of the file; a paragraph's title is part of its context."""
    paragraphs = []
    for article in rows(directory, "jsquad"):
        for paragraph in article["paragraphs"]:
            title, _, text = paragraph["context"].partition(" [SEP] ")
            paragraphs.append((article["title"], title, units(text), paragraph["qas"]))
    index = Bm25([f"{title} {''.join(cut)}" for _, title, cut, _ in paragraphs])
    rng = random.Random(7)
    asked = [(place, qa) for place, (_, _, _, qas) in enumerate(paragraphs) for qa in qas]
    cases = []
    for place, qa in asked[:: max(1, len(asked) // limit)] if limit else asked:
        near = [other for other in index.nearest(qa["question"])[:10] if other != place][:9]
        order = rng.sample([place, *near], len(near) + 1)
        passages = [(paragraphs[p][1], paragraphs[p][2]) for p in order]
        gold = [_squad_gold(cut, qa["answers"]) for _, cut in passages]
        titles = _squad_gold([title for title, _ in passages], qa["answers"])
        cases.append(
            Case("jsquad", paragraphs[place][0], qa["question"], passages, gold, titles=titles, own=order.index(place))
        )
    return cases


def qmsum(directory: Path, count: Callable[[str], int], limit: int | None = None) -> list[Case]:
    """A meeting as one passage; its units are the turns, the evidence the tokens of the annotated turns."""
    cases = []
    for meeting in rows(directory, "qmsum_val"):
        turns = [f"{turn['speaker']}: {turn['content']}" for turn in meeting["turns"]]
        weights = [[float(count(turn)) for turn in turns]]
        for query in meeting["queries"]:
            spans = [(int(a), int(b)) for a, b in query["gold_turns"]]
            gold = [[any(a <= place <= b for a, b in spans) for place in range(len(turns))]]
            case = Case("qmsum", meeting["id"], query["query"], [("", turns)], gold, share=True, weights=weights)
            cases.append(case)
    return cases[:limit]
