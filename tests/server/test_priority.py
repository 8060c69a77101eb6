"""A client may give way to others, never go before them unless its key may."""

from hapenny.admission.keys import OPEN, Identity
from hapenny.core.messages import Message, Request, Text
from hapenny.server.auth import context_of

ASKED = Request(protocol="openai", model="fast", messages=(Message("user", (Text("hi"),)),))


def test_a_header_lowers_and_never_raises():
    own, urgent = Identity(tenant="a"), Identity(tenant="b", priority=10)
    assert context_of(own, {"x-hapenny-priority": "1"}, ASKED).priority == 0
    assert context_of(own, {"x-hapenny-priority": "-5"}, ASKED).priority == -5
    assert context_of(urgent, {"x-hapenny-priority": "50"}, ASKED).priority == 10
    assert context_of(urgent, {"x-hapenny-tags": "a=b"}, ASKED).priority == 0
    assert context_of(OPEN, {"x-hapenny-priority": "50"}, ASKED).priority == 50


def test_a_metadata_field_raises_no_more_than_the_header():
    from msgspec.structs import replace

    asked = replace(ASKED, metadata={"hapenny_priority": "9"})
    assert context_of(Identity(tenant="a"), {}, asked).priority == 0
