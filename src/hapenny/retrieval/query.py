"""From what a person wrote to what is searched: one pass of rules, well under a millisecond.

Normalise -> drop what the collection cannot answer (greetings, politeness) -> resolve references -> split. The
embedder sees the cleaned sentence; noise words and style go to the lexical leg alone (`Retriever.terms`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import msgspec

from hapenny.retrieval.decompose import decompose
from hapenny.retrieval.lexical import Terms, idf
from hapenny.retrieval.rewrite import standalone
from hapenny.retrieval.store import Store

MAX_CHARACTERS = 4000

_SPACE = re.compile(r"\s+")
_OPENERS = re.compile(
    r"^(?:(?:hi|hello|hey|good (?:morning|afternoon|evening)|dear (?:all|team|sir|madam)"
    r"|xin chào|chào(?: bạn| shop| em)?|alo|こんにちは)(?: there| everyone| all| bạn| shop| ad)?[\s,.!、。-]+)+",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"^(?:(?:(?:please|kindly)(?= (?:tell|show|find|give|list|explain|help|search|recommend|let|can|could)\b)"
    r"|i (?:would|'d) like to (?:know|ask)|i (?:want|need) to know|i was wondering(?: if)?"
    r"|(?:can|could|would|will) you (?:please )?(?:tell|show|explain to|help) me(?: with| about| to)?|do you know"
    r"|cho (?:tôi|mình|em) hỏi(?: là)?|làm ơn|vui lòng|bạn có thể cho (?:tôi|mình) biết)[\s,:]+)+(?=\S+\s+\S)",
    re.IGNORECASE,
)
_CLOSERS = re.compile(
    r"[\s,.!-]*(?:(?:thank you(?: so much| very much)?|thanks(?: a lot| in advance)?|thx|cheers|please"
    r"|cảm ơn(?: bạn| nhiều)?|ありがとう(?:ございます)?|お願いします)[\s,.!。]*)+$",
    re.IGNORECASE,
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A prepared query. `parts` are searched side by side and include `text` first; `steps` say what was changed."""

    text: str
    parts: tuple[str, ...]
    steps: tuple[str, ...] = ()
    unsure: bool = False


def prepare(question: str, history: Sequence[str] = (), answer: str = "", *, split: bool = True) -> Query:
    """Prepares a question against earlier user turns and the last answer."""
    steps: list[str] = []
    text = normalise(question)
    cleaned = relevant(text)
    if cleaned != text:
        steps.append("irrelevant")
    resolved = standalone(cleaned, history, answer)
    if resolved.changed:
        steps.append("references")
    parts = decompose(resolved.text) if split else [resolved.text]
    if len(parts) > 1:
        steps.append("decomposed")
    searched = [resolved.text, *(part for part in parts if part != resolved.text)]
    return Query(text=resolved.text, parts=tuple(searched), steps=tuple(steps), unsure=resolved.unsure)


def normalise(text: str) -> str:
    """NFC, single blanks, bounded length."""
    return _SPACE.sub(" ", unicodedata.normalize("NFC", text[:MAX_CHARACTERS])).strip()


def relevant(text: str) -> str:
    """`text` without greeting, asking and thanks; as it came if nothing would be left."""
    kept = _CLOSERS.sub("", _ASKING.sub("", _OPENERS.sub("", text))).strip()
    if kept and text.rstrip().endswith("?") and not kept.endswith("?"):
        kept += "?"
    return kept.strip() if len(kept.strip("?!. ")) > 1 else text


def keywords(terms: Terms, store: Store, most: int = 8) -> list[str]:
    """The rarest index terms of a query that the collection knows, rarest first: what the query is about."""
    count = max(1, store.count())
    known = [(idf(min(count, found), count), stem) for stem in terms.stems if (found := store.frequency(stem))]
    return [stem for _, stem in sorted(known, key=lambda pair: -pair[0])[:most]]
