"""Whether two answers state the same facts, by text, numbers, names and negations: what needs no model to tell.

Equal facts in other words are no difference; everything that is not plain is left to a judge. "Can be returned"
against "can not" differs by its negation, "10.87" against "10.97" by its number. Only answers that name at least one
number, and the same ones, are called equal by their facts: names and numbers alone carry what they say. In Japanese and
Chinese names are runs of four and more signs that are no hiragana; other scripts without word boundaries are compared
by text alone.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from hapenny.core.events import Completion
from hapenny.core.messages import Text, ToolUse
from hapenny.core.patterns import pattern
from hapenny.evidence.judges import agree

Facts: TypeAlias = Literal["same", "open"]

_NUMBER = pattern(r"\d+(?:[.,:]\d+)*")
_WORD = pattern(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_UNSPACED = pattern(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_EAST = pattern(r"[\u3040-\u30ff\u3400-\u9fff]")
_RUN = pattern(r"[\u30a1-\u30ff\u3400-\u9fff]+(?:の[\u30a1-\u30ff\u3400-\u9fff]+)*")
_EAST_NOT = pattern("ません|ない|なく|不|没|無")
_NAME = 4
"""Signs of a run from which on it counts as a name."""
_NEGATIVE = (
    "not no never none neither nor cannot without nothing nobody unable impossible "
    "nicht kein keine keinen nie niemals ohne ne pas jamais sans aucun sin ningún ninguna nunca jamás "
    "không chưa chẳng đừng"
)
_NEGATIONS = frozenset(_NEGATIVE.split())


class Said(Struct, frozen=True):
    """An answer: its text, and the arguments of its tool calls behind it; `calls` names the tools, in order."""

    text: str
    calls: tuple[str, ...] = ()

    def shown(self) -> str:
        """The answer as a judge sees it."""
        return f"{', '.join(self.calls)}({self.text})" if self.calls else self.text


def said(completion: Completion) -> Said:
    """The first choice of a whole answer."""
    parts: list[str] = []
    calls: list[str] = []
    for block in completion.choices[0].content if completion.choices else ():
        if isinstance(block, Text):
            parts.append(block.text)
        elif isinstance(block, ToolUse):
            parts.append(block.arguments)
            calls.append(block.name)
    return Said("".join(parts), tuple(calls))


def compared(first: Said, second: Said) -> Facts:
    """`same`: both say the same; `open`: a judge must tell."""
    if first.calls or second.calls:
        same = first.calls == second.calls and _levelled(first.text) == _levelled(second.text)
        return "same" if same else "open"
    one, other = first.text, second.text
    if one.strip() == other.strip() or agree(one, other):
        return "same"
    if _UNSPACED.search(one) or _UNSPACED.search(other):
        return "open"
    numbers = set(_NUMBER.findall(one))
    if not numbers or numbers != set(_NUMBER.findall(other)):
        return "open"
    alike = _names(one) <= _names(other, everywhere=True) and _names(other) <= _names(one, everywhere=True)
    return "same" if alike and negations(one) == negations(other) else "open"


def _levelled(arguments: str) -> Any:
    """Arguments without what no tool minds: order of fields, spacing, case of values."""
    try:
        return _folded(json.loads(arguments))
    except ValueError:
        return " ".join(arguments.split())


def _folded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _folded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_folded(inner) for inner in value]
    return str(value).strip().casefold()


def _names(text: str, *, everywhere: bool = False) -> frozenset[str]:
    """Capitalised words, those that begin a sentence only `everywhere`."""
    names: set[str] = set()
    for match in _WORD.finditer(text):
        word = match.group()
        if word[0].isupper() and (everywhere or not _begins(text, match.start())):
            names.add(word.casefold())
    if _EAST.search(text):
        names.update(run for run in _RUN.findall(text) if len(run) >= _NAME)
    return frozenset(names)


def _begins(text: str, at: int) -> bool:
    before = text[:at].rstrip(" \"'“‘(*_-") if at < 200 else text[at - 20 : at].rstrip(" \"'“‘(*_-")
    return not before or before[-1] in ".!?:;\n"


def negations(text: str) -> int:
    """How many words of a text deny."""
    words: Sequence[str] = _WORD.findall(text.casefold())
    return len(_EAST_NOT.findall(text)) + sum(word in _NEGATIONS or word.endswith(("n't", "n’t")) for word in words)


def fold(text: str) -> str:
    """A text in which case, width and marks of composition do not count."""
    return unicodedata.normalize("NFKC", text).casefold()
