"""Requests and answers for property tests, in the canonical form that a codec's own decoder gives."""

from __future__ import annotations

from hypothesis import strategies as st

from hapenny.core.events import Choice, Completion, Tokens
from hapenny.core.messages import (
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
from hapenny.protocols.bedrock.media import DOCUMENTS, IMAGES

ANTHROPIC = ("anthropic", "invoke")
words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
maybe = st.none() | words
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(words, json_values, max_size=3)
schemas = st.just({"type": "object"}) | objects.map(lambda extra: {"type": "object", "properties": {"p": extra}})
arguments = st.sampled_from(["{}", '{"a":1}', '{"a":[1,2.5,null,"x"]}', '{"é":{"b":true}}'])
blobs = st.binary(min_size=1, max_size=9)


def ttls(protocol):
    return st.sampled_from(["", "", "", "default", "5m", "1h"])


def texts(protocol, checkpoints=True):
    return st.builds(Text, words, ttls(protocol) if checkpoints else st.just(""))


def images(protocol):
    by_value = st.builds(
        Image,
        st.sampled_from(sorted(IMAGES.values())),
        blobs,
        st.none(),
        st.sampled_from([None, "low"]) if protocol == "openai" else st.none(),
        ttls(protocol),
    )
    if protocol == "bedrock":
        return by_value | st.builds(
            Image, st.just("image/png"), st.none(), st.just("s3://bucket/key"), st.none(), ttls(protocol)
        )
    return by_value | st.builds(Image, url=st.just("https://example.com/a.png"), checkpoint=ttls(protocol))


def documents(protocol):
    if protocol == "openai":
        return st.builds(Document, st.just("application/pdf"), blobs, name=maybe, checkpoint=ttls(protocol))
    common = {"context": maybe, "citations": st.sampled_from([None, True, False]), "checkpoint": ttls(protocol)}
    if protocol == "bedrock":
        media = st.sampled_from(sorted(DOCUMENTS.values()))
        return st.builds(Document, media, blobs, name=words, **common) | st.builds(
            Document, media, text=words, name=words, **common
        )
    return (
        st.builds(Document, st.just("application/pdf"), blobs, name=maybe, **common)
        | st.builds(Document, st.just("text/plain"), text=words, name=maybe, **common)
        | st.builds(Document, url=st.just("https://example.com/a.pdf"), name=maybe, **common)
    )


def opaques(protocol):
    if protocol == "openai":
        return st.just(Opaque("openai", {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}}))
    if protocol == "bedrock":
        return st.just(Opaque("bedrock", {"guardContent": {"text": {"text": "g"}}}))
    return st.just(
        Opaque(
            protocol,
            {
                "type": "search_result",
                "title": "t",
                "source": "s",
                "content": [{"type": "text", "text": "x"}],
            },
        )
    )


def user_blocks(protocol):
    return st.one_of(texts(protocol), texts(protocol), images(protocol), documents(protocol), opaques(protocol))


def thoughts(protocol):
    if protocol == "openai":
        return st.just(Thinking("unsigned")) | st.just(Thinking("signed", "c2ln"))
    return st.builds(Thinking, words, words) | st.just(Thinking(redacted="c2VjcmV0"))


def results(protocol):
    if protocol == "openai":
        content = st.lists(texts(protocol, False), min_size=1, max_size=2)
        return st.builds(ToolResult, names, content.map(tuple))
    inner = texts(protocol, protocol != "bedrock")
    if protocol == "bedrock":
        inner = inner | st.builds(Data, objects)
    return st.builds(
        ToolResult, names, st.lists(inner, min_size=1, max_size=2).map(tuple), st.booleans(), ttls(protocol)
    )


@st.composite
def turns(draw, protocol):
    messages = []
    for _ in range(draw(st.integers(1, 3))):
        messages.append(Message("user", tuple(draw(st.lists(user_blocks(protocol), min_size=1, max_size=3)))))
        if draw(st.booleans()):
            content = []
            if draw(st.booleans()):
                content.append(draw(thoughts(protocol)))
            calls = draw(st.lists(st.builds(ToolUse, names, names, arguments), max_size=2))
            if not calls or draw(st.booleans()):
                content.append(draw(texts(protocol)))
            messages.append(Message("assistant", (*content, *calls)))
            if calls:
                found = [ToolResult(call.id, draw(results(protocol)).content) for call in calls]
                if protocol == "openai":
                    messages += [Message("tool", (result,)) for result in found]
                else:
                    messages.append(Message("user", tuple(found)))
        else:
            messages.append(Message("assistant", (draw(texts(protocol)),)))
    messages.append(Message("user", (draw(texts(protocol)),)))
    return tuple(messages)


def tools(protocol):
    return st.lists(
        st.builds(
            Tool,
            names,
            maybe,
            schemas,
            st.sampled_from([None, True, False]),
            checkpoint=ttls(protocol),
        ),
        max_size=2,
        unique_by=lambda tool: tool.name,
    ).map(tuple)


FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}


def parameters(protocol):
    share = st.none() | st.floats(0, 1)
    common = {
        "max_tokens": st.integers(1, 9999) if protocol in ANTHROPIC else st.none() | st.integers(1, 9999),
        "temperature": share,
        "top_p": share,
        "top_k": st.none() | st.integers(0, 50),
        "stop": st.lists(words, max_size=2).map(tuple),
        "format": st.sampled_from([None, FORMAT]),
    }
    if protocol == "openai":
        return st.builds(
            Parameters,
            **{**common, "top_k": st.none()},
            effort=st.sampled_from([None, "low", "high"]),
            seed=st.none() | st.integers(0, 9),
            n=st.none() | st.integers(1, 3),
            presence_penalty=st.none() | st.floats(-2, 2),
            service_tier=st.sampled_from([None, "auto", "flex", "priority"]),
        )
    common["effort"] = st.sampled_from([None, "low", "max"])
    common["thinking"] = st.sampled_from([None, Thinks("enabled", 1024), Thinks("adaptive")])
    if protocol == "bedrock":
        return st.builds(
            Parameters,
            **common,
            latency=st.sampled_from([None, "optimized"]),
            service_tier=st.sampled_from([None, "flex", "reserved"]),
        )
    tiers = [None, "auto", "standard_only"] if protocol == "anthropic" else [None, "flex", "priority"]
    return st.builds(
        Parameters,
        **common,
        service_tier=st.sampled_from(tiers),
        latency=st.just(None) if protocol == "anthropic" else st.sampled_from([None, "optimized"]),
    )


EXTRAS = {
    "openai": {"logit_bias": {"5": 1}, "prompt_cache_key": "k"},
    "anthropic": {"container": "c1", "anthropic_beta": ["b-1"]},
    "invoke": {"anthropic_beta": ["b-1"], "x-amzn-bedrock-trace": "ENABLED"},
    "bedrock": {
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "additionalModelRequestFields": {"novel": 1},
    },
}


@st.composite
def requests(draw, protocol=None):
    if protocol is None:
        protocol = draw(st.sampled_from(["openai", "anthropic", "bedrock", "invoke"]))
    kit = draw(tools(protocol))
    choice = None
    if kit:
        parallel = st.none() if protocol == "bedrock" else st.sampled_from([None, True, False])
        kinds = ["auto", "any"] if protocol == "bedrock" else ["auto", "any", "none"]
        kind = draw(st.sampled_from([*kinds, "tool"]))
        if protocol in ANTHROPIC and kind == "none":
            parallel = st.none()
        choice = draw(
            st.none() | st.builds(ToolChoice, st.just(kind), st.just(kit[0].name if kind == "tool" else None), parallel)
        )
    system = draw(st.lists(texts(protocol), max_size=2).map(tuple))
    if protocol == "openai" and system and draw(st.booleans()):
        system = (*system, Text("dev", extras={"role": "developer"}))
    stream = draw(st.booleans())
    return Request(
        protocol=protocol,
        model="anthropic.m",
        messages=draw(turns(protocol)),
        system=system,
        tools=kit,
        tool_choice=choice,
        parameters=draw(parameters(protocol)),
        stream=stream,
        stream_usage=stream and protocol == "openai",
        store=draw(st.sampled_from([None, True, False])) if protocol == "openai" else None,
        user=draw(maybe) if protocol != "bedrock" else None,
        metadata=draw(st.sampled_from([{}, {"feature": "f"}])) if protocol in ("openai", "bedrock") else {},
        checkpoint=draw(ttls(protocol)) if protocol in ANTHROPIC else "",
        extras=draw(st.sampled_from([{}, EXTRAS[protocol]])),
    )


tokens = st.builds(
    Tokens,
    input=st.integers(0, 10**6),
    output=st.integers(0, 10**6),
    cache_read=st.integers(0, 10**6),
    cache_write=st.integers(0, 10**6),
)
REASONS = {
    "openai": ["end_turn", "max_tokens", "tool_use", "content_filtered"],
    "anthropic": ["end_turn", "max_tokens", "tool_use", "stop_sequence", "refusal", "pause_turn", "context_window"],
    "bedrock": ["end_turn", "max_tokens", "tool_use", "stop_sequence", "content_filtered", "guardrail", "malformed"],
}
REASONS["invoke"] = REASONS["anthropic"]


@st.composite
def completions(draw, protocol):
    """A collected answer. OpenAI joins texts and puts reasoning first, so it has at most one of each."""
    content = []
    if draw(st.booleans()):
        content.append(draw(st.builds(Thinking, words, st.none() if protocol == "openai" else words)))
    if protocol != "openai" and draw(st.booleans()):
        content.append(Thinking(redacted="c2VjcmV0"))
    if draw(st.booleans()):
        content.append(Text(draw(words)))
    content += draw(st.lists(st.builds(ToolUse, names, names, arguments), max_size=3, unique_by=lambda use: use.id))
    if not content:
        content.append(Text("x"))
    count = draw(st.integers(1, 2)) if protocol == "openai" else 1
    reason = draw(st.sampled_from(REASONS[protocol]))
    if reason == "end_turn" and any(isinstance(block, ToolUse) for block in content):
        reason = "tool_use"  # no answer with calls ends the turn, whatever its server says
    sequence = "END" if reason == "stop_sequence" and protocol in ANTHROPIC else None
    return Completion(
        id="id-1",
        model="m-1",
        created=5.0,
        choices=[Choice(content=list(content), reason=reason, sequence=sequence) for _ in range(count)],
        tokens=draw(tokens),
    )
