"""The key against an outside judge: requests that would be written differently for any provider never share one, and
what concerns delivery alone never changes it."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.caching.keys import DECLARED, Keys
from hapenny.core.errors import Failure
from hapenny.core.messages import (
    Context,
    Document,
    Image,
    Message,
    Opaque,
    Parameters,
    Request,
    Text,
    Thinking,
    Thinks,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from hapenny.protocols.registry import codec
from tests.core.house import exchange
from tests.protocols.strategies import requests

KEYS = Keys(b"secret", "user")
PROTOCOLS = ("openai", "anthropic", "bedrock", "invoke")


def key(request, context=None):
    there = exchange(context=context or Context(tenant="a"))
    there.request = request
    return KEYS.key(there)


def rebuilt(value, change):
    """A copy of a request, or of what is in it, with every struct as `change` makes it."""
    if isinstance(value, tuple):
        return tuple(rebuilt(item, change) for item in value)
    if isinstance(value, msgspec.Struct):
        inner = {name: rebuilt(getattr(value, name), change) for name in value.__struct_fields__}
        return change(type(value)(**inner))
    return value


def plain(request):
    """Without what concerns delivery, and with tool-call ids numbered."""
    numbers = {}

    def change(struct):
        fields = {}
        if "checkpoint" in struct.__struct_fields__:
            fields["checkpoint"] = ""
        if isinstance(struct, ToolUse | ToolResult):
            fields["id"] = f"call_{numbers.setdefault(struct.id, len(numbers))}"
        if isinstance(struct, Parameters):
            fields |= {"service_tier": None, "latency": None}
        if isinstance(struct, Request):
            fields |= {"stream": False, "stream_usage": False, "store": None, "user": None, "metadata": {}}
        return msgspec.structs.replace(struct, **fields)

    return rebuilt(request, change)


def written(request, name):
    """What a provider of that dialect would be sent, or how the gateway refuses."""
    try:
        wire = codec(name).encode_request(request, model="some-model")
    except Failure as failure:
        return str(failure)
    return wire


@st.composite
def pairs(draw):
    """A request and a sibling: some fields drawn anew, some extras put somewhere, perhaps through another door."""
    one = draw(st.sampled_from(PROTOCOLS).flatmap(requests))
    source = draw(requests(one.protocol))
    names = draw(st.sets(st.sampled_from([*Request.__struct_fields__]), max_size=3))
    other = msgspec.structs.replace(one, **{name: getattr(source, name) for name in names})
    where = draw(st.sets(st.sampled_from([Text, Tool, ToolUse, ToolResult, Message, Thinks, Request]), max_size=2))

    def extra(struct):
        if type(struct) in where and not getattr(struct, "extras", None):
            return msgspec.structs.replace(struct, extras={"further": 1})
        return struct

    one = rebuilt(one, extra)
    if draw(st.booleans()):
        other = rebuilt(other, extra)
    if draw(st.booleans()):
        other = msgspec.structs.replace(other, protocol=draw(st.sampled_from(PROTOCOLS)))
    return plain(one), plain(other)


@settings(deadline=None)
@given(pairs())
def test_what_would_be_written_differently_has_another_key(pair):
    one, other = pair
    if any(written(one, name) != written(other, name) for name in PROTOCOLS):
        assert key(one) != key(other)


@settings(deadline=None)
@given(st.sampled_from(PROTOCOLS).flatmap(requests), st.data())
def test_what_concerns_delivery_never_changes_it(request, data):
    def otherwise(struct):
        fields = {}
        if "checkpoint" in struct.__struct_fields__:
            fields["checkpoint"] = data.draw(st.sampled_from(["", "default", "5m", "1h"]))
        if isinstance(struct, ToolUse | ToolResult):
            fields["id"] = f"anew_{struct.id}"
        if isinstance(struct, Parameters):
            fields["service_tier"] = data.draw(st.sampled_from([None, "flex", "priority"]))
            fields["latency"] = data.draw(st.sampled_from([None, "optimized"]))
        if isinstance(struct, Request):
            fields["stream"], fields["stream_usage"] = data.draw(st.booleans()), data.draw(st.booleans())
            fields["metadata"] = data.draw(st.sampled_from([{}, {"team": "a"}]))
        return msgspec.structs.replace(struct, **fields)

    context = Context(
        tenant="a",
        key_id=data.draw(st.text(max_size=3)),
        session=data.draw(st.none() | st.text(max_size=3)),
        feature=data.draw(st.none() | st.text(max_size=3)),
        tags=data.draw(st.sampled_from([{}, {"price": "v3"}])),
        priority=data.draw(st.integers(-9, 9)),
        cache_control=data.draw(st.sampled_from([(), ("no-cache",), ("max-age=5",), ("x-max-error=0",)])),
    )
    assert key(rebuilt(request, otherwise), context) == key(request)


FULL = Request(
    protocol="openai",
    model="m",
    messages=(
        Message("user", (Text("t"), Image("image/png", b"i"), Document(text="d"), Opaque("openai", {"o": 1}))),
        Message("assistant", (Thinking("hm", "s"), ToolUse("1", "stock", "{}"))),
        Message("tool", (ToolResult("1", (Text("r"), Image("image/png", b"j"))),)),
    ),
    system=(Text("s"),),
    tools=(Tool("stock"),),
    tool_choice=ToolChoice("tool", "stock"),
    parameters=Parameters(temperature=0.0, thinking=Thinks("enabled", 9)),
)


def places(value, path=()):
    """Every struct in a request, by its path."""
    if isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from places(item, (*path, number))
    elif isinstance(value, msgspec.Struct):
        yield path, value
        for name in value.__struct_fields__:
            yield from places(getattr(value, name), (*path, name))


def changed(value, path, name, new):
    if not path:
        return msgspec.structs.replace(value, **{name: new})
    first, *rest = path
    if isinstance(value, tuple):
        return tuple(changed(item, rest, name, new) if i == first else item for i, item in enumerate(value))
    return msgspec.structs.replace(value, **{first: changed(getattr(value, first), rest, name, new)})


ALL = [
    (path, type(struct), name, part)
    for path, struct in places(FULL)
    for name, part in DECLARED[type(struct)].items()
    if not (name == "id" and type(struct) in (ToolUse, ToolResult))
]


@pytest.mark.parametrize(
    ("path", "kind", "name", "part"), ALL, ids=lambda value: str(value) if isinstance(value, str) else None
)
def test_each_field_counts_as_it_is_declared(path, kind, name, part):
    old = getattr(dict(places(FULL))[path], name)
    if isinstance(old, tuple):
        new = (*old, Text("more"))
        if name == "messages":
            new = (*FULL.messages, Message("user", ()))
        if name == "tools":
            new = (*FULL.tools, Tool("another"))
    elif name in ("extras", "metadata"):
        new = {"further": 1}
    elif name == "thinking":
        new = Thinks("adaptive")
    elif name == "parameters":
        new = Parameters(temperature=0.5)
    elif name == "tool_choice":
        new = ToolChoice("none")
    else:
        new = "1h" if name == "checkpoint" else "something else"
    request = changed(FULL, path, name, new)
    # A protocol counts where something can reach that one alone, which is so here: of two doors, two keys.
    counts = part != "delivery" or name == "protocol"
    assert (key(request) != key(FULL)) == counts
