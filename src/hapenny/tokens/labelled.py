"""Passages that stand in a text without tags: under a label ("Context: … Question: …"), under a Markdown heading, or
numbered as sources.

The labels are those by which the question is told from its context (`core.questions`): where no question can be told
apart, nothing counts as a passage. A passage is a paragraph, or what follows a number up to the next; a heading belongs
to the paragraph below it. One pass over the lines.
"""

from __future__ import annotations

from typing import NamedTuple

from hapenny.core.questions import ASKS, ENDS, GIVES, LONGEST_LABEL, NUMBERED, question_of

LEAST = 800
"""Characters below which a text is not looked through: so little context is never pruned."""
_HEADING = 200
_BEHIND_NUMBER = ".:)-–— \t"
_RULE = frozenset("-=*_~ ")
"""What a line that draws a rule is made of."""


class Span(NamedTuple):
    """A passage: where its text stands, and where what goes with it stands (its number, the empty lines behind)."""

    start: int
    end: int
    opens: int
    closes: int
    title: str = ""


def labelled(text: str) -> list[Span]:
    """The passages of a text, in order; none where the question cannot be told from them."""
    if len(text) < LEAST:
        return []
    question = question_of(text)
    if not question or len(question) >= len(text) - LEAST // 2:
        return []
    finder = _Finder(text)
    place = 0
    for line in text.splitlines(keepends=True):
        finder.line(line, place)
        place += len(line)
    spans = finder.end(place)
    if not finder.gives and finder.numbered < 2:
        return []
    spans = [span._replace(closes=min(span.closes, len(text))) for span in spans]
    asked = text.rfind(question.split("\n", 1)[0])
    return [span for span in spans if not (span.opens <= asked < span.closes and text[span.start : span.end].strip())]


class _Finder:
    """Reads lines and gathers passages."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._spans: list[Span] = []
        self._where = "loose"
        self._opens = self._starts = -1
        self._heading = self._title = ""
        self._given = False
        """Whether a passage was found since the label."""
        self._bracketed = False
        """Whether a rule stands right below the label: then the next one ends the context."""
        self.gives, self.numbered = False, 0

    def line(self, line: str, place: int) -> None:
        """Takes the next line, which begins at `place`."""
        head = line[:LONGEST_LABEL].rstrip("\r\n")
        blank = not line.strip()
        if (label := ASKS.match(head)) is not None:
            self._close(place)
            self._where = "asked"
        elif (label := GIVES.match(head)) is not None:
            self._close(place)
            self._where, self.gives, self._bracketed, self._given = "given", True, False, False
            if head[label.end() :].strip():
                begin = place + label.end() + len(head[label.end() :]) - len(head[label.end() :].lstrip())
                self._open(begin, begin)
        elif ENDS.match(head) is not None:
            self._close(place)
            self._where = "end"
        elif (label := NUMBERED.match(head)) is not None and self._where != "asked":
            opens, title = (self._opens, self._heading) if self._heading and not self._title else (place, "")
            if not title:
                self._close(place)
            self._where = "given"
            self.numbered += 1
            rest = head[label.end() :]
            self._open(opens, place + label.end() + len(rest) - len(rest.lstrip(_BEHIND_NUMBER)), title)
        elif len(head.strip()) >= 3 and _RULE.issuperset(head.strip()):
            if self._where == "given" and (self._starts >= 0 or self._given):
                self._close(place, behind=place)
                self._where = "loose" if self._bracketed else "given"
            elif self._where == "given":
                self._bracketed = True
        elif blank:
            if self._where == "given" and self._starts >= 0 and not self._heading:
                self._close(place, behind=place + len(line))
                self._where = "given" if self.gives else "loose"
            elif self._spans and self._starts < 0 and self._spans[-1].closes == place:
                self._spans[-1] = self._spans[-1]._replace(closes=place + len(line))
        elif self._where == "given" and self._starts < 0:
            self._open(place, place)
            if head.startswith("#") and len(head) < _HEADING:
                self._heading = head.lstrip("# ").strip()
        elif self._where == "given" and self._heading and not self._title:
            self._title, self._starts, self._heading = self._heading, place, ""

    def end(self, place: int) -> list[Span]:
        """The text is over."""
        self._close(place)
        return self._spans

    def _open(self, opens: int, starts: int, title: str = "") -> None:
        self._opens, self._starts, self._heading, self._title = opens, starts, "", title

    def _close(self, place: int, behind: int = 0) -> None:
        if self._starts < 0:
            return
        body = self._text[self._starts : place]
        left = len(body) - len(body.lstrip())
        stripped = body.strip()
        if stripped:
            start = self._starts + left
            self._given = True
            self._spans.append(Span(start, start + len(stripped), self._opens, max(place, behind), self._title))
        self._opens = self._starts = -1
        self._heading = self._title = ""
