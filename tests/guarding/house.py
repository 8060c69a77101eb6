"""Shorthands for tests of guardrails."""

import itertools

from hapenny.guarding.actions import GROUPS
from hapenny.guarding.answer_guard import AnswerGuard
from hapenny.guarding.detector import Detector
from hapenny.guarding.finding import KINDS
from hapenny.guarding.policy import Policy
from hapenny.guarding.streaming import Tally, TextStream

STRUCTURED = Detector(GROUPS["all"])
EVERYTHING = Detector(KINDS)
REDACTS = {"all": "redact"}


def found(text, detector=STRUCTURED):
    """(kind, text) of each item."""
    return [(each.kind, text[each.start : each.end]) for each in detector.find(text)]


def whole(text, **rules):
    """A text after redaction, and why it is blocked."""
    stream = TextStream(Policy(**{"items": REDACTS, **rules}), Tally())
    return stream.whole(text), stream.blocked


def pieces(text, cuts):
    """A text cut at places."""
    at = [0, *sorted(cuts), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(at)]


def streamed(parts, **rules):
    """The same of a text that comes in parts."""
    stream = TextStream(Policy(**{"items": REDACTS, **rules}), Tally())
    out = "".join([stream.feed(part) for part in parts])
    return out + stream.flush(), stream.blocked


def guarded(batches, items=None, message="No.", most=None, **rules):
    """The events that go on in place of batches of events."""
    guard = AnswerGuard(Policy(REDACTS if items is None else items, **rules), message, most)
    out = []
    for batch in batches:
        out += guard.feed(batch)
    return [*out, *guard.end()], guard
