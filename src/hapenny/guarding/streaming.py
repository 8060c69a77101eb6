"""A text that is still being written, redacted as it goes.

Theory of operation. What has come is released up to where it is still open (`Detector.open_from`): the word that is
being written, a number that may get another group, the beginning of a denied phrase. What begins before that place is
decided for good, so what comes out, joined, is what redaction of the whole text would give, for every way of cutting
it into pieces; a property test holds that. `BEHIND` characters of what was released stay, since what comes may depend
on them.

Ordinary words are most of most answers: while nothing that is held tells of an item, and no topic, name or address is
looked for, only the word that is being written is open, and the rest goes out unread (`_calm`).
"""

from __future__ import annotations

from hapenny.guarding.detector import BEHIND, LOUD, open_word, placed
from hapenny.guarding.finding import Finding
from hapenny.guarding.normal import Normal, normal, simple
from hapenny.guarding.policy import Policy

_AMORTISED = 8
"""Where much is held, at least this part of it is released at once: so every character is read a few times, not once
with each piece that comes."""

_KEPT = 4 * BEHIND
"""Released characters that may stay before those beyond `BEHIND` are dropped."""


class Tally(dict[str, int]):
    """How many items of which kind, and topics, by what was done about them: `redacted email` -> 2."""

    def add(self, what: str, count: int = 1) -> None:
        """Counts."""
        self[what] = self.get(what, 0) + count

    def sentence(self) -> str:
        """For notes and the ledger; no text of anybody."""
        return ", ".join(f"{what} {count}" if count > 1 else what for what, count in sorted(self.items()))


class TextStream:
    """Redacts one text.

    Args:
        policy: what is done about what is found.
        tally: where it is counted.
    """

    def __init__(self, policy: Policy, tally: Tally) -> None:
        self._policy = policy
        self._tally = tally
        self._text = ""
        """What is kept of what was released, and what is held back."""
        self._plain: str | None = ""
        """The same in normal form, where every character stands where it stood."""
        self._released = 0
        """Up to where what begins is decided."""
        self._written = 0
        """Up to where it was written out: further, where an item was redacted that ends behind `_released`."""
        self.blocked = ""
        """Why the text must not go on; nothing of it is written any more."""

    @property
    def held(self) -> int:
        """Characters that are held back."""
        return len(self._text) - max(self._released, self._written)

    def feed(self, piece: str) -> str:
        """What may be written now that `piece` has come."""
        if self.blocked:
            return ""
        if self._policy.plain and self._plain is not None:
            more = piece if piece.isascii() else simple(piece)
            if more is not None and (out := self._calm(piece, more)) is not None:
                return out
        self._text += piece
        form = self._normal(piece)
        start = form.at(self._released)
        until = len(form.text)
        for detector in self._policy.detectors:
            until = min(until, detector.open_from(form.text, start))
        for topics in (self._policy.denied, self._policy.watched):
            if topics:
                until = min(until, topics.open_from(form.text, start))
        if until - start < (len(form.text) - until) // _AMORTISED:
            return ""  # much is held: what is read again with every release is worth it only for more
        return self._release(form, start, until)

    def _calm(self, piece: str, more: str) -> str | None:
        """What may be written where nothing held can be an item but for the word at its end; None: that is not so.
        `more` is the piece in normal form."""
        assert self._plain is not None
        start = self._released
        held = self._plain[start:] + more
        if start != self._written or LOUD.search(held) is not None:
            return None
        open_ = open_word(held)
        if open_ is None:
            return None
        self._text += piece
        self._plain += more
        free = len(held) - open_
        if free <= 0 or free < open_ // _AMORTISED:
            return ""
        self._released = self._written = end = start + free
        out = self._text[start:end]
        if end > _KEPT:
            kept = end - BEHIND
            self._text, self._plain = self._text[kept:], self._plain[kept:]
            self._released = self._written = BEHIND
        return out

    def _normal(self, piece: str) -> Normal:
        """The text in normal form, now that `piece` has come to it."""
        more = simple(piece) if self._plain is not None else None
        if more is None or self._plain is None:
            self._plain = None
            return normal(self._text)
        self._plain += more
        return Normal(self._plain)

    def flush(self) -> str:
        """The rest: nothing more will come."""
        if self.blocked:
            return ""
        form = normal(self._text)
        return self._release(form, form.at(self._released), len(form.text))

    def whole(self, text: str) -> str:
        """A text that is there already."""
        self._text = text
        return self.flush()

    def _release(self, form: Normal, start: int, until: int) -> str:
        """Writes what begins between the characters `start` and `until` of the normal form."""
        end = form.place(until, len(self._text))
        if end <= self._released:
            return ""
        stop = self._stop(form, start, until)
        out: list[str] = []
        for each in self._found(form, start, until):
            if stop is not None and each.start >= stop:
                break
            self._write(each, out)
        limit = end if stop is None else max(stop, self._written)
        out.append(self._text[self._written : limit])
        self._written = max(self._written, limit)
        self._released = end
        kept = form.place(max(0, form.at(end) - BEHIND), len(self._text))
        self._text = self._text[kept:]
        self._plain = self._plain[kept:] if self._plain is not None else simple(self._text)
        self._released -= kept
        self._written -= kept
        return "".join(out)

    def _found(self, form: Normal, start: int, until: int) -> list[Finding]:
        policy = self._policy
        noted = policy.notes
        if noted.kinds and noted.tells(form.text, start, until):
            for each in noted.within(form.text, start, until):
                self._tally.add(f"noted {each.kind}")
        if policy.watched:
            mention = policy.watched.find(form.text, start, until)
            if mention is not None:
                self._tally.add(f"noted topic {mention.topic}")
        if not policy.redacts.kinds or not policy.redacts.tells(form.text, start, until):
            return []
        return placed(form, policy.redacts.within(form.text, start, until))

    def _write(self, each: Finding, out: list[str]) -> None:
        """Writes an item, or what it has more than the one that it overlaps."""
        if each.start >= self._written:
            out += (
                self._text[self._written : each.start],
                self._policy.written(each.kind, self._text[each.start : each.end]),
            )
            self._tally.add(f"redacted {each.kind}")
        elif each.end > self._written and self._policy.style == "mask":
            out.append(self._policy.written(each.kind, self._text[self._written : each.end]))
        self._written = max(self._written, each.end)

    def _stop(self, form: Normal, start: int, until: int) -> int | None:
        """Where the first thing begins that blocks."""
        blocks, first = self._policy.blocks, None
        if blocks.kinds and blocks.tells(form.text, start, until):
            items = blocks.within(form.text, start, until)
            if items:
                first, self.blocked = form.span(items[0].start, items[0].end)[0], items[0].kind
        mention = self._policy.denied.find(form.text, start, until)
        if mention is not None:
            at = form.span(mention.start, mention.end)[0]
            if first is None or at < first:
                first, self.blocked = at, f"topic {mention.topic}"
        if first is not None:
            self._tally.add(f"blocked {self.blocked}")
        return first
