"""The five steps that prepare a query, in three languages, on constructed questions (`step_questions`).

Shares of questions that come out as wanted, word for word, and for splits and references also the mean F1 of words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.retrieval.prepare import say
from hapenny.retrieval.documents import Document
from hapenny.retrieval.query import prepare
from hapenny.retrieval.query.decompose import decompose
from hapenny.retrieval.query.irrelevant import relevant
from hapenny.retrieval.query.keywords import keywords
from hapenny.retrieval.query.references import standalone
from hapenny.retrieval.query.register import read_vocabulary
from hapenny.retrieval.query.word_lists import word_lists
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.stores.embedded import EmbeddedStore

FOLDER = Path(__file__).parent / "step_questions"
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
_ARTICLES = frozenset({"the", "a", "an"})


def steps() -> dict[str, Any]:
    """Every step in every language: `{step: {language: {right, questions, …}}}`, and under `held_out` the same on
    questions that no rule was made for."""
    out: dict[str, Any] = {}
    for kind, folder in (("", FOLDER), ("held_out", FOLDER / "held_out")):
        place = out.setdefault(kind, {}) if kind else out
        for path in sorted(folder.glob("*.yaml")):
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
            for step, measure in MEASURES.items():
                place.setdefault(step, {})[path.stem] = measure(path.stem, data)
    say(f"steps: {out}")
    return out


def spelt(text: str) -> list[str]:
    """Words of a text in order, without case, marks and articles."""
    return [word for word in _WORD.findall(text.lower()) if word not in _ARTICLES]


def _filled(template: str, fill: dict[str, str]) -> str:
    for name, value in fill.items():
        template = template.replace("{" + name + "}", value)
    return template


def _irrelevant(language: str, data: dict[str, Any]) -> dict[str, Any]:
    right = []
    for fill in data["fill"]:
        words = set(spelt(" ".join(fill.values())))
        for asked, wanted in data["irrelevant"]:
            knows = lambda text, words=words: bool(words & set(spelt(text)))  # noqa: E731
            made = relevant(_filled(asked, fill), language, word_lists(language), knows)
            right.append(spelt(made) == spelt(_filled(wanted, fill)))
    return {"right": _share(right), "questions": len(right)}


def _references(language: str, data: dict[str, Any]) -> dict[str, Any]:
    right: list[bool] = []
    scores: list[float] = []
    for fill in data["fill"]:
        for history, asked, wanted in data["references"]:
            made = standalone(_filled(asked, fill), [_filled(turn, fill) for turn in history]).text
            ours, theirs = spelt(made), spelt(_filled(wanted, fill))
            right.append(ours == theirs)
            scores.append(_f1(set(ours), set(theirs)))
    return {
        "right": round(sum(right) / len(right), 4),
        "f1": round(sum(scores) / len(scores), 4),
        "questions": len(right),
    }


def _decompose(language: str, data: dict[str, Any]) -> dict[str, Any]:
    right: list[bool] = []
    scores: list[float] = []
    for fill in data["fill"]:
        for asked, wanted in data["decompose"]:
            ours = [spelt(part) for part in decompose(_filled(asked, fill))]
            theirs = [spelt(_filled(part, fill)) for part in wanted]
            right.append(sorted(ours) == sorted(theirs))
            recall = sum(max(_f1(set(a), set(b)) for a in ours) for b in theirs) / len(theirs)
            precision = sum(max(_f1(set(a), set(b)) for b in theirs) for a in ours) / len(ours)
            scores.append(2 * recall * precision / (recall + precision) if recall + precision else 0.0)
    return {
        "right": round(sum(right) / len(right), 4),
        "f1": round(sum(scores) / len(scores), 4),
        "questions": len(right),
    }


def _style(language: str, data: dict[str, Any]) -> dict[str, Any]:
    retriever = _collection(language, data["style"]["documents"])
    right = []
    for case, wanted in data["style"]["cases"]:
        for frame in data["style"]["frames"]:
            asked = prepare(frame.replace("{x}", case), knows=retriever.about, lexicon=retriever.lexicon)
            right.append(" ".join(spelt(wanted)) in " ".join(spelt(asked.text)))
    return {"right": _share(right), "questions": len(right)}


def _keywords(language: str, data: dict[str, Any]) -> dict[str, Any]:
    retriever = _collection(language, data["keywords"]["documents"])
    right = []
    for case, wanted in data["keywords"]["cases"]:
        for frame in data["keywords"]["frames"]:
            asked = prepare(frame.replace("{q}", case), knows=retriever.about, lexicon=retriever.lexicon)
            right.append(bool(set(wanted) & set(keywords(asked.text, retriever.store)[:2])))
    return {"right": _share(right), "questions": len(right)}


def _collection(language: str, texts: list[str]) -> Retriever:
    """Words alone: vectors have no part in these steps."""
    store = EmbeddedStore(2, language)  # type: ignore[arg-type]
    documents = [Document(id=str(number), text=text) for number, text in enumerate(texts)]
    store.upsert(documents, np.tile(np.array([1.0, 0.0], np.float32), (len(documents), 1)))
    store.commit()
    return Retriever(store, vocabulary=read_vocabulary(texts, language))


def _share(values: Sequence[float]) -> float:
    return round(sum(values) / max(1, len(values)), 4)


def _f1(one: set[str], two: set[str]) -> float:
    return 2 * len(one & two) / (len(one) + len(two)) if one or two else 1.0


MEASURES = {
    "style": _style,
    "decompose": _decompose,
    "irrelevant": _irrelevant,
    "references": _references,
    "keywords": _keywords,
}
