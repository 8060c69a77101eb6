"""Who may share an answer: the key says so, field by field."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.caching.keys import DECLARED, Keys, uncacheable
from hapenny.core import messages
from hapenny.core.calls import Policy
from hapenny.core.messages import (
    Context,
    Data,
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
from tests.core.house import exchange

KEYS = Keys(b"secret")


def structs():
    found = [each for each in vars(messages).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    return [each for each in found if each is not msgspec.Struct]


@pytest.mark.parametrize("kind", structs(), ids=lambda kind: kind.__name__)
def test_every_field_of_every_struct_is_declared(kind):
    assert set(DECLARED[kind]) == set(kind.__struct_fields__)


def key(context=None, **changes):
    there = exchange(context=context, **changes)
    return KEYS.key(there)


def user(*blocks):
    return (Message("user", tuple(blocks)),)


SAME = {
    "stream": {"stream": True, "stream_usage": True},
    "metadata": {"metadata": {"a": 1}},
    "protocol": {"protocol": "anthropic"},
    "checkpoint": {"checkpoint": "5m"},
    "block checkpoint": {"messages": user(Text("hello", checkpoint="1h"))},
    "service tier": {"parameters": Parameters(temperature=0.0, service_tier="flex", latency="optimized")},
}
OTHER = {
    "text": {"messages": user(Text("hello!"))},
    "split blocks": {"messages": user(Text("hel"), Text("lo"))},
    "role": {"messages": (Message("assistant", (Text("hello"),)),)},
    "history": {"messages": (Message("user", (Text("before"),)), Message("user", (Text("hello"),)))},
    "system": {"system": (Text("Be brief."),)},
    "tools": {"tools": (Tool("stock"),)},
    "tool choice": {"tools": (), "tool_choice": ToolChoice("none")},
    "max_tokens": {"parameters": Parameters(temperature=0.0, max_tokens=5)},
    "format": {"parameters": Parameters(temperature=0.0, format={"type": "json_object"})},
    "model": {"model": "strong"},
    "extras": {"extras": {"logit_bias": {"1": 2}}},
    "image": {"messages": user(Text("hello"), Image("image/png", b"1"))},
    "document": {"messages": user(Text("hello"), Document(text="x"))},
}


@pytest.mark.parametrize("name", SAME)
def test_what_concerns_delivery_stays_out(name):
    assert key(**SAME[name]) == key()


@pytest.mark.parametrize("name", OTHER)
def test_what_decides_the_answer_is_in(name):
    assert key(**OTHER[name]) != key()


@pytest.mark.parametrize(
    "context",
    [
        Context(tenant="b"),
        Context(tenant="a", groups=("staff",)),
        Context(tenant="a", locale="vi"),
        Context(tenant="a", headers={"anthropic-beta": "x"}),
    ],
)
def test_the_scope_is_in(context):
    assert key(context=context) != key(context=Context(tenant="a"))


def test_a_named_user_shares_only_where_the_route_says_so():
    one, two = Context(tenant="a", user="u1"), Context(tenant="a", user="u2")
    assert key(context=one) == key(context=two)
    apart = Keys(b"secret", "user")
    assert apart.key(exchange(context=one)) != apart.key(exchange(context=two))


def test_policy_route_arms_and_intent_are_in():
    def changed(change):
        there = exchange()
        change(there)
        return KEYS.key(there)

    changes = [
        lambda there: setattr(there, "policy", Policy(model="v2")),
        lambda there: setattr(there, "policy", Policy(config_version="v2")),
        lambda there: setattr(there, "policy", Policy(prompt_version="v2")),
        lambda there: setattr(there, "policy", Policy(knowledge_epoch="v2")),
        lambda there: setattr(there, "policy", Policy(arms=("v2",))),
        lambda there: setattr(there, "policy", Policy(arms=("v2", "v2"))),
        lambda there: setattr(there, "route", "other"),
        lambda there: there.arms.update(prompt="b"),
        lambda there: setattr(there, "intent", "greeting"),
    ]
    assert len({changed(change) for change in changes} | {key()}) == len(changes) + 1


def tool_turn(call_id, arguments="{}"):
    return (
        Message("user", (Text("hello"),)),
        Message("assistant", (ToolUse(call_id, "stock", arguments),)),
        Message("tool", (ToolResult(call_id, (Data({"n": 1}),)),)),
    )


def test_ids_of_tool_calls_are_ordinals():
    assert key(messages=tool_turn("toolu_1")) == key(messages=tool_turn("call_9"))
    assert key(messages=tool_turn("toolu_1")) != key(messages=tool_turn("toolu_1", '{"a":1}'))


def test_extras_keep_protocols_apart():
    extras = {"extras": {"x": 1}}
    assert key(**extras, protocol="openai") != key(**extras, protocol="anthropic")


BOUND = {
    "message": {"messages": (Message("user", (Text("hello"),), extras={"x": 1}),)},
    "block": {"messages": user(Text("hello", extras={"x": 1}))},
    "tool result": {"messages": user(ToolResult("1", (Text("hello", extras={"x": 1}),)))},
    "effort": {"parameters": Parameters(temperature=0.0, effort="minimal")},
    "temperature": {"parameters": Parameters(temperature=1.5)},
    "turns of one role": {"messages": (*user(Text("hello")), *user(Text("hello")))},
    "empty text": {"messages": user(Text("hello"), Text(""))},
    "document": {"messages": user(Document("text/csv", text="a,b"))},
    "signed thinking": {"messages": (Message("assistant", (Thinking("hm", "c2ln"),)), *user(Text("hello")))},
    "system": {"system": (Text("be brief", extras={"role": "developer"}),)},
    "tool": {"tools": (Tool("stock", extras={"input_examples": []}),)},
    "thinking": {"parameters": Parameters(temperature=0.0, thinking=Thinks(extras={"display": "omitted"}))},
}


@pytest.mark.parametrize("where", BOUND)
def test_what_reaches_one_protocol_only_keeps_protocols_apart_wherever_it_stands(where):
    assert key(**BOUND[where], protocol="openai") != key(**BOUND[where], protocol="anthropic")


def test_whole_numbers_of_any_size_have_keys():
    def schema(most):
        return {"tools": (Tool("stock", schema={"properties": {"n": {"maximum": most, "enum": [1, b"1"]}}}),)}

    sizes = (2**64, 2**64 + 1, -(2**63) - 1, 7, str(2**64), float(2**64))
    assert len({key(**schema(most)) for most in sizes}) == len(sizes)


def test_deployments_with_other_secrets_share_nothing():
    assert Keys(b"other").key(exchange()) != key()


texts = st.text(max_size=6)
blocks = st.one_of(
    texts.map(Text),
    st.binary(max_size=4).map(lambda data: Image("image/png", data)),
    texts.map(lambda text: Document(text=text)),
    st.tuples(texts, texts).map(lambda pair: ToolUse("id", *pair)),
    texts.map(lambda text: ToolResult("id", (Text(text),))),
)
turns = st.lists(
    st.tuples(st.sampled_from(["user", "assistant"]), st.lists(blocks, max_size=3)).map(
        lambda pair: Message(pair[0], tuple(pair[1]))
    ),
    max_size=3,
).map(tuple)


@given(turns, turns, texts, texts)
def test_the_encoding_is_injective(one, two, tenant_one, tenant_two):
    left = exchange(messages=one, context=Context(tenant=tenant_one))
    right = exchange(messages=two, context=Context(tenant=tenant_two))
    same = one == two and tenant_one == tenant_two
    assert (KEYS.encoded(left) == KEYS.encoded(right)) == same
    assert (KEYS.key(left) == KEYS.key(right)) == same


@pytest.mark.parametrize(
    ("changes", "context", "why"),
    [
        ({"store": False}, Context(), "store=false"),
        ({}, Context(cache_control=("no-store",)), "no-store"),
        ({"parameters": Parameters(temperature=0.0, n=2)}, Context(), "n>1"),
        ({"parameters": Parameters(temperature=0.3)}, Context(), "temperature"),
        ({"parameters": Parameters()}, Context(), "temperature"),
        ({"extras": {"previous_response_id": "r"}}, Context(), "server-state"),
        ({"tools": (Tool("web_search", kind="web_search_20260101"),)}, Context(), "server-tool"),
        ({"messages": user(Image(url="https://example.org/a.png"))}, Context(), "mutable-reference"),
        ({"system": (Opaque("bedrock", {"guardContent": {}}),)}, Context(), "mutable-reference"),
        (
            {"messages": user(Document(content=({"type": "image", "source": {"type": "url"}},)))},
            Context(),
            "mutable-reference",
        ),
        ({"messages": user(Document(content=({"type": "text", "text": "a"}, {"text": "b"})))}, Context(), ""),
        ({"model": "arn:aws:bedrock:us-east-1:1:prompt/ABC"}, Context(), "mutable-reference"),
        ({"model": "arn:aws:bedrock:us-east-1:1:prompt/ABC:3"}, Context(), ""),
        ({}, Context(), ""),
    ],
)
def test_what_may_not_be_cached_at_all(changes, context, why):
    assert uncacheable(exchange(context=context, **changes)) == why


def test_a_route_may_consent_to_any_temperature():
    assert uncacheable(exchange(parameters=Parameters(temperature=0.9)), any_temperature=True) == ""


def test_requests_are_hashed_once():
    there = exchange()
    assert KEYS.key(there) is KEYS.key(there)
    assert isinstance(there.request, Request)
