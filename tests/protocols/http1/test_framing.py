"""Requests as three parsers read them: where ours takes a request the others take the same one, byte for byte.

It may refuse what another takes; every such reason is listed here, and why. It takes what another refuses in the few
ways listed below, and in no other.
"""

import random
import re

import pytest

from tests.protocols.http1.oracles import Reading, by_h11, by_llhttp, ours, written

STRICTER = {
    "no sound host": "RFC 9112 §3.2: two Host fields, or a value that is no host, are answered with 400",
    "no host": "RFC 9112 §3.2: HTTP/1.1 without Host is answered with 400",
    "no request line": "only HTTP/1.1 and 1.0 are spoken here; h11 and llhttp leave the version to whoever asks",
    "a dot segment in the path": "servers resolve them differently: nobody's path means another one",
    "an empty segment in the path": "servers merge them or do not",
    "the target is no path": "RFC 3986 §3.3: characters that no path has; h11 and llhttp leave the target unread",
    "the target is no path of this host": "RFC 9112 §3.2.2: we are no proxy; no target names another host",
    "a control character in the path": "RFC 3986 §7.3: encoded control characters have no place in a path of ours",
    "a control character in a field": "RFC 9110 §5.5: h11 lets DEL pass, and a bare line feed as a line's end",
    "no field name": "RFC 9112 §5.2: folded lines are refused; h11 unfolds them",
    "no length": "RFC 9110 §8.6: several lengths may be refused, and are, also where they are equal",
    "two lengths": "RFC 9112 §6.3: a length beside a coding may be refused, and is; h11 drops the length",
    "a field that may not be a trailer": "RFC 9110 §6.5.1: fields that frame, route or authorise come too late there",
    "a bare line break": "RFC 9112 §2.2: a bare line feed may be taken for a line's end, and is not",
    "no chunk extension": "RFC 9112 §7.1.1: h11 takes anything up to the line's end",
    "no chunk size": "RFC 9112 §7.1: no white space behind a size; h11 takes it",
    "a transfer coding in HTTP/1.0": "RFC 9112 §6.1: such a message is faulty",
    "closed": "RFC 9112 §9.3: `close` ends a connection; llhttp goes on where `keep-alive` is said beside it",
    "an unknown transfer coding": "RFC 9112 §6.1: `chunked` alone; llhttp takes any list that ends in it",
}
TABBED = "Request has invalid `Transfer-Encoding`"
_TABBED = re.compile(rb"^transfer-encoding:[ \t]*chunked[ \t]*\t[ \t]*\r$", re.IGNORECASE | re.MULTILINE)
LOOSER = {
    (
        "llhttp",
        "Invalid method",
    ): "RFC 9110 §9.1: a method is any token; the routing table refuses those we do not know",
    ("llhttp", "Expected space after method"): "the same, for tokens that begin like a method",
    ("h11", "closed"): "RFC 9112 §9.3: an HTTP/1.0 client may ask to keep the connection; h11 never keeps one",
    ("h11", "no request line received"): "RFC 9112 §2.2: an empty line before a request is ignored",
    ("llhttp", TABBED): "RFC 9110 §5.5: tabs behind a value are no part of it; llhttp refuses them behind this one",
}


def compare(data: bytes) -> int:
    """How many whole requests are in `data`. Fails where the parsers disagree in a way that is not listed."""
    mine = ours(data)
    for name, read in (("h11", by_h11), ("llhttp", by_llhttp)):
        other: Reading = read(data)
        both = min(len(mine.messages), len(other.messages))
        assert mine.messages[:both] == other.messages[:both], (name, data)
        if len(mine.messages) < len(other.messages):
            assert mine.refused in STRICTER, (name, mine.refused, data)
            said = dict(mine.messages[-1].fields).get("connection", "").lower() if mine.refused == "closed" else "close"
            assert "close" in said.replace(" ", "").replace("\t", "").split(","), (name, data)
        elif len(mine.messages) > len(other.messages):
            known = [why for who, why in LOOSER if who == name and other.refused.startswith(why)]
            assert known, (name, other.refused, data)
            assert known != [TABBED] or _TABBED.search(data), data
    return len(mine.messages)


def hammer(times: int, seed: int) -> None:
    chance = random.Random(seed)
    taken = sum(compare(written(chance)) > 0 for _ in range(times))
    assert times / 4 < taken < times * 3 / 4  # both sides of the border were walked


def test_bent_requests_are_read_as_others_read_them() -> None:
    hammer(10_000, 0)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(1, 11))
def test_a_million_bent_requests_are_read_as_others_read_them(seed: int) -> None:
    hammer(100_000, seed)


def test_any_cut_of_the_same_bytes_is_the_same() -> None:
    chance = random.Random(7)
    for _ in range(400):
        data = written(chance)
        places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(12)))
        pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
        whole, cut = ours(data), ours(*pieces)
        assert whole.messages == cut.messages
        assert bool(whole.refused) == bool(cut.refused), data


def test_bytes_one_by_one_are_the_same() -> None:
    chance = random.Random(8)
    for _ in range(60):
        data = written(chance)
        assert ours(*[data[at : at + 1] for at in range(len(data))]).messages == ours(data).messages


def test_a_body_in_the_smallest_chunks_costs_what_it_carries() -> None:
    from hapenny.protocols.http1.framing import STEPS
    from hapenny.protocols.http1.request import RequestParser

    parser = RequestParser()
    parser.feed(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    number, turns = 20_000, 1
    more = parser.feed(b"2\r\nab\r\n" * number + b"0\r\n\r\n")
    while more:
        turns += 1
        more = parser.advance()
    assert turns >= 2 * number / STEPS  # in slices, so that others have their turn
    assert len(parser.out) < number / 100  # not one object a chunk
    assert parser.take() == b"ab" * number


def test_what_waits_behind_a_message_is_not_copied_for_each() -> None:
    from hapenny.protocols.http1.request import RequestParser

    parser = RequestParser()
    one = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    parser.feed(one * 1_000)
    left = []
    for _ in range(3):
        left.append(parser.behind)
        parser.next()
        parser.advance()
    assert left == [len(one) * 999, len(one) * 998, len(one) * 997]
