"""What the ledger asks of every request: how its bytes are divided among its parts, and the mark of its question.

Nothing is counted for it. A request that comes again, as those of cache hits do, is outlined once.
"""

from __future__ import annotations

from collections.abc import Callable

from hapenny.core.messages import Request, Text
from hapenny.core.shape import OfRequests
from hapenny.telemetry.layout import HISTORY, PARTS, SYSTEM, USER, Layout

_SMALL = 16_384
"""Bytes of a request whose outline is kept."""
_BREAKS = "\n\t\r\x0b\x0c\x1c\x1d\x1e\x1f"


class Outline:
    """One request's.

    Args:
        request: the request as it came.
        fingerprint: makes the mark of a text.
    """

    __slots__ = ("_known", "media", "question", "size", "sizes")

    def __init__(self, request: Request, fingerprint: Callable[[str], bytes]) -> None:
        plain = _plain(request)
        layout = Layout(request) if plain is None else None
        self.sizes = _any(layout) if layout is not None else plain or []
        """Bytes by part, in the order of `PARTS`."""
        self.media = layout is not None and layout.media > 0
        """Whether it holds pictures or documents, whose bytes are in no size."""
        question = request.question
        self.question = fingerprint(levelled(_ends(question))) if question else None
        self.size = sum(self.sizes)
        self._known: tuple[int, dict[str, int]] = (-1, {})

    def parts(self, tokens: int) -> dict[str, int]:
        """`tokens` of the whole prompt by part, in proportion to bytes (a vocabulary spends about as much on one
        Chinese character as on four Latin letters); empty parts are left out."""
        known, whole = self._known, self.size
        if known[0] == tokens or not whole:
            return known[1]
        divided: dict[str, int] = {}
        rest, last = tokens, ""
        for part, size in zip(PARTS, self.sizes, strict=True):
            if size:
                share = divided[part] = tokens * size // whole
                rest, last = rest - share, part
        divided[last] += rest
        self._known = tokens, divided
        return divided


class Outlines:
    """Outlines of requests: those of small ones that come again are kept, and the last one, which is asked for twice.

    Args:
        fingerprint: makes the mark of a text.
    """

    def __init__(self, fingerprint: Callable[[str], bytes]) -> None:
        self._fingerprint = fingerprint
        self._known = OfRequests[Outline]()

    def of(self, request: Request) -> Outline:
        """The outline of a request."""
        outline = self._known.get(request)
        if outline is None:
            outline = Outline(request, self._fingerprint)
            self._known.put(request, outline, small=outline.size <= _SMALL)
        return outline


def _plain(request: Request) -> list[int] | None:
    """The sizes of a request of plain text; None for any other."""
    if request.tools:
        return None
    sizes = [0] * len(PARTS)
    for block in request.system:
        if type(block) is not Text:
            return None
        text = block.text
        sizes[SYSTEM] += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    messages = request.messages
    last = len(messages) - 1
    for index, message in enumerate(messages):
        role = message.role
        if role == "tool":
            return None
        part = SYSTEM if role == "system" else USER if index == last else HISTORY
        for block in message.content:
            if type(block) is not Text:
                return None
            text = block.text
            sizes[part] += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return sizes


def _any(layout: Layout) -> list[int]:
    sizes = [0] * len(PARTS)
    for text, kind in zip(layout.texts, layout.kinds, strict=True):
        sizes[kind] += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return sizes


_LONG = 16_384
"""Characters of a question that its mark is made of; of a longer one both ends and the length."""


def _ends(text: str) -> str:
    half = _LONG // 2
    return text if len(text) <= _LONG else f"{text[:half]}\0{len(text)}\0{text[-half:]}"


def levelled(text: str) -> str:
    """`text` in lower case with one space between words; text that is level already, the usual case, is not split."""
    if text.isascii() and text.rfind("  ") < 0:  # two characters are looked for much faster from behind
        for mark in _BREAKS:
            if mark in text:
                break
        else:
            return text.lower().strip(" ")
    return " ".join(text.lower().split())
