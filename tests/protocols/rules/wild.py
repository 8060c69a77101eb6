"""Requests as clients really send them: valid in their own dialect, full of what other services refuse."""

from __future__ import annotations

from hypothesis import strategies as st

from hapenny.core.messages import (
    Data,
    Document,
    Image,
    Message,
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

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 8
JPEG = b"\xff\xd8\xff\xe0" + b"0" * 8
texts = st.sampled_from(["", " ", "\n\t", "hi", "hi ", "What does it cost?", "{", "é"])
ids = st.sampled_from(
    [
        "call_1",
        "call_1",
        "functions.look_up:0",
        "a|b",
        "x" * 120,
        "toolu_01",
        "é",
        "tooluse_bpe71yCfRu2b5i-nKGDr5g",
        "123456789",
    ]
)
names = st.sampled_from(["look_up", "mcp.server.tool", "n" * 99, "with space", "edit_file"])
ttls = st.sampled_from(["", "", "", "default", "5m", "1h"])
SCHEMAS = [
    None,
    {},
    {"properties": {"a": {"type": "string"}}},
    {"type": "object", "properties": {}},
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]},
    {"type": "object", "properties": {"o": {"type": "object", "properties": {"x": {"type": "number"}}}}},
    {
        "anyOf": [
            {"type": "object", "properties": {"a": {"type": "string"}}},
            {"required": ["b"], "properties": {"b": {}}},
        ]
    },
    {
        "$defs": {"P": {"type": "object", "properties": {"next": {"$ref": "#/$defs/P"}}}},
        "type": "object",
        "title": "T",
        "properties": {"p": {"$ref": "#/$defs/P"}},
    },
    {"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "string"}}}},
]
schemas = st.sampled_from(SCHEMAS)
text_blocks = st.builds(Text, texts, ttls)


def images(protocol):
    media = st.sampled_from(["image/png", "image/jpeg", "image/jpg", "IMAGE/PNG", "image/x-png"])
    return st.builds(Image, media, st.sampled_from([PNG, JPEG]), st.none(), st.none(), ttls)


def documents(protocol):
    name = st.sampled_from([None, "q_1.pdf", "q.1.pdf", "notes"])
    by_value = st.builds(Document, st.sampled_from(["application/pdf", "text/plain"]), st.just(b"hi"), name=name)
    if protocol == "openai":
        return by_value
    said = st.builds(
        Document, st.just("text/plain"), text=texts, name=name, citations=st.sampled_from([None, True, False])
    )
    chunks = st.just(Document(content=({"type": "text", "text": "a"}, {"type": "text", "text": "b"})))
    return by_value | said | (chunks if protocol == "anthropic" else st.nothing())


def results(protocol):
    inner = text_blocks | (st.nothing() if protocol == "openai" else images(protocol) | documents(protocol))
    if protocol == "bedrock":
        inner = inner | st.just(Data({"rows": 3}))
    failed = st.just(False) if protocol == "openai" else st.booleans()
    return st.builds(ToolResult, ids, st.lists(inner, max_size=3).map(tuple), failed)


calls = st.builds(ToolUse, ids, names, st.sampled_from(["{}", "", '{"a": 1}']))


@st.composite
def turns(draw, protocol):
    found = []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["user", "user", "assistant", "calls", "result", "system"]))
        if kind == "user":
            block = text_blocks | text_blocks | images(protocol) | documents(protocol)
            found.append(Message("user", tuple(draw(st.lists(block, min_size=1, max_size=4)))))
        elif kind == "assistant":
            thoughts = draw(st.lists(st.just(Thinking("t", "c2ln")) | st.just(Thinking("unsigned")), max_size=1))
            said = draw(st.lists(text_blocks, min_size=1, max_size=2))
            found.append(Message("assistant", (*thoughts, *said)))
        elif kind == "calls":
            said = draw(st.lists(text_blocks, max_size=1))
            found.append(Message("assistant", (*said, *draw(st.lists(calls, min_size=1, max_size=3)))))
        elif kind == "result":
            role = "tool" if protocol == "openai" else "user"
            found.append(Message(role, tuple(draw(st.lists(results(protocol), min_size=1, max_size=2)))))
        elif protocol == "openai":
            found.append(Message("system", (draw(text_blocks),)))
    if all(message.role == "system" for message in found):
        found.append(Message("user", (draw(text_blocks),)))
    return tuple(found)


FORMATS = [None, None, {"type": "json_object"}, {"type": "text"}] + [
    {"type": "json_schema", "json_schema": {"name": "out", "schema": schema}} for schema in SCHEMAS if schema
]


@st.composite
def requests(draw, protocol):
    """A request of `protocol` that its own clients would send."""
    openai = protocol == "openai"
    tools = tuple(
        draw(
            st.lists(
                st.builds(
                    Tool,
                    names,
                    st.sampled_from([None, "about"]),
                    schemas,
                    st.sampled_from([None, True]),
                    checkpoint=ttls,
                ),
                max_size=3,
                unique_by=(lambda tool: tool.name) if draw(st.integers(0, 4)) else None,
            )
        )
    )
    choice = None
    if tools:
        kinds = ["auto", "any", "tool"] + (["none"] if protocol != "bedrock" else [])
        kind = draw(st.sampled_from([None, *kinds]))
        choice = ToolChoice(kind, tools[0].name if kind == "tool" else None) if kind else None
    parameters = Parameters(
        max_tokens=draw(st.sampled_from([None, 1, 100, 4000, 20_000]))
        if openai
        else draw(st.sampled_from([0, 1, 4000])),
        temperature=draw(st.sampled_from([None, 0.0, 0.7])),
        top_p=draw(st.sampled_from([None, 0.9])),
        stop=tuple(draw(st.lists(st.sampled_from(["\n", " ", "END", "a", "b", "c", "d"]), max_size=6, unique=True))),
        effort=draw(st.sampled_from([None, "none", "low", "high"])) if openai else None,
        thinking=None
        if openai
        else draw(st.sampled_from([None, Thinks("enabled", 1024), Thinks("adaptive"), Thinks("disabled")])),
        format=draw(st.sampled_from([one for one in FORMATS if openai or one is None or one["type"] == "json_schema"])),
    )
    if protocol == "bedrock" and parameters.max_tokens == 0:
        parameters = Parameters(max_tokens=1)
    return Request(
        protocol=protocol,
        model="m",
        messages=draw(turns(protocol)),
        system=tuple(draw(st.lists(text_blocks, max_size=2))),
        tools=tools,
        tool_choice=choice,
        parameters=parameters,
        stream=draw(st.booleans()),
        user=draw(st.sampled_from([None, "u", "u" * 400])) if protocol != "bedrock" else None,
        checkpoint=draw(ttls) if protocol == "anthropic" else "",
        extras=draw(st.sampled_from([{}, {"anthropic_beta": ["x-2099-01-01", "oauth-2025-04-20"], "speed": "fast"}]))
        if protocol == "anthropic"
        else {},
    )
