"""Request bodies of every surface by chance: what clients send, with the odd values that real ones send too."""

from __future__ import annotations

from hapenny.protocols.rules.claude_on_bedrock import BETAS

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TEXTS = ["hi", "", " ", "\n\t", "Answer: ", "ünï 工具 \U0001f600", "\u200b", "x" * 3_000, '{"a": 1}', "```\nx = 1\n```",
         '[{"a": 1, "b": 2}, {"a": 3, "b": 4}]', "\x00", "<|im_end|>"]  # fmt: skip
IDS = ["call_1", "call_2", "toolu_01A", "functions.f:0", "a b", "x" * 90, "ü", "1"]
NAMES = ["f", "look_up", "mcp__" + "long_" * 20, "get weather", "a.b", "f", "工具"]
SCHEMAS = [
    {"type": "object", "properties": {"a": {"type": "string"}}}, {}, {"properties": {"a": {}}}, {"type": "object"},
    {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer", "minimum": 1}}},
    {"anyOf": [{"type": "object", "properties": {"b": {"type": "number"}}}]}, {"type": "string"},
    {"type": "object", "additionalProperties": {"type": "string"}},
    {"type": "object", "properties": {"x": {"$ref": "#"}}}, {"$ref": "#/$defs/z", "$defs": {"z": {"type": "object"}}},
    {"type": ["object", "null"], "properties": {"a": {"enum": [1, "b", None]}}, "required": ["a", "b"]},
]  # fmt: skip
CONTROL = [{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral", "ttl": "5m", "scope": "g"}]
STOPS = [[], ["x"], ["\n"], [" ", "END"], list("abcdefg")]
NUMBERS = [0, 0.3, 1, 1.5, 2]


class Chance:
    """Draws of one `random.Random`."""

    def __init__(self, random):
        self.random = random

    def one(self, values):
        return self.random.choice(values)

    def some(self, most, make):
        return [make() for _ in range(self.random.randrange(most + 1))]

    def perhaps(self, share, body, name, make):
        if self.random.random() < share:
            body[name] = make()


def openai(c):
    def part():
        return c.one([
            {"type": "text", "text": c.one(TEXTS)},
            {"type": "image_url", "image_url": {"url": f"data:image/{c.one(['png', 'jpg', 'jpeg'])};base64,{PNG}"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "high"}},
            {"type": "file", "file": {"filename": c.one(["a.pdf", "a_1.pdf", "", "b"]),
                                      "file_data": "data:application/pdf;base64,JVBERg=="}},
            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        ])  # fmt: skip

    def content():
        return c.one([c.one(TEXTS), c.some(4, part), [{"type": "text", "text": c.one(TEXTS)}]])

    def call():
        arguments = c.one(["{}", "", '{"a": 1}', "{bad", "[1]"])
        return {"id": c.one(IDS), "type": "function", "function": {"name": c.one(NAMES), "arguments": arguments}}

    def turn():
        role = c.one(["user", "user", "assistant", "assistant", "tool", "system", "developer"])
        if role == "tool":
            return {"role": role, "tool_call_id": c.one(IDS), "content": c.one([c.one(TEXTS), content()])}
        if role == "assistant":
            said = {"role": role, "content": c.one([None, c.one(TEXTS)])}
            c.perhaps(0.5, said, "tool_calls", lambda: c.some(3, call))
            c.perhaps(0.1, said, "refusal", lambda: c.one([None, "no"]))
            c.perhaps(0.1, said, "reasoning_content", lambda: "hm")
            return said
        return {"role": role, "content": content()} | c.one([{}, {}, {"name": "anna"}])

    body = {"model": "strong", "messages": c.some(6, turn) or [turn()]}

    def tool():
        return {"type": "function", "function": {"name": c.one(NAMES), "parameters": c.one(SCHEMAS)}
                | c.one([{}, {"description": c.one(TEXTS)}, {"strict": True}])}  # fmt: skip

    c.perhaps(0.4, body, "tools", lambda: c.some(3, tool))
    named = {"type": "function", "function": {"name": c.one(NAMES)}}
    c.perhaps(0.3, body, "tool_choice", lambda: c.one(["auto", "none", "required", named]))
    c.perhaps(0.3, body, "response_format", lambda: c.one(
        [{"type": "json_object"}, {"type": "text"}]
        + [{"type": "json_schema", "json_schema": {"name": "s", "schema": schema}} for schema in SCHEMAS]
    ))  # fmt: skip
    c.perhaps(0.3, body, "reasoning_effort", lambda: c.one(["none", "minimal", "low", "high", "xhigh"]))
    c.perhaps(0.3, body, "stop", lambda: c.one([*STOPS, "x", "\n"]))
    for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
        c.perhaps(0.2, body, name, lambda: c.one(NUMBERS))
    c.perhaps(0.5, body, c.one(["max_tokens", "max_completion_tokens"]), lambda: c.one([0, 1, 100, 10**6]))
    c.perhaps(0.1, body, "n", lambda: c.one([1, 2]))
    for name, values in (
        ("seed", [1]), ("logprobs", [True]), ("top_logprobs", [2]), ("logit_bias", [{"1": 1}]), ("user", ["u" * 300]),
        ("parallel_tool_calls", [True, False]), ("store", [True]), ("metadata", [{"a": "b"}]), ("verbosity", ["low"]),
        ("service_tier", ["auto", "flex"]), ("prediction", [{"type": "content", "content": "x"}]),
        ("modalities", [["text"]]), ("prompt_cache_key", ["k"]), ("safety_identifier", ["s"]), ("unheard_of", [1]),
    ):  # fmt: skip
        c.perhaps(0.08, body, name, lambda values=values: c.one(values))
    c.perhaps(0.3, body, "stream", lambda: True)
    return body


def anthropic(c):
    def controlled(block):
        c.perhaps(0.2, block, "cache_control", lambda: c.one(CONTROL))
        return block

    def source():
        return c.one([
            {"type": "base64", "media_type": c.one(["image/png", "image/jpg", "image/jpeg"]), "data": PNG},
            {"type": "url", "url": "https://example.com/a.png"}, {"type": "file", "file_id": "f"},
        ])  # fmt: skip

    def document():
        made = {"type": "document", "source": c.one([
            {"type": "text", "media_type": "text/plain", "data": c.one(TEXTS)},
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
            {"type": "content", "content": [{"type": "text", "text": "t"}]},
            {"type": "url", "url": "https://example.com/a.pdf"},
        ])}  # fmt: skip
        c.perhaps(0.5, made, "title", lambda: c.one(["a", "a_1", "A"]))
        c.perhaps(0.3, made, "citations", lambda: {"enabled": c.one([True, False])})
        return made

    def simple():
        return c.one([{"type": "text", "text": c.one(TEXTS)}, {"type": "image", "source": source()}, document()])

    def result():
        made = {"type": "tool_result", "tool_use_id": c.one(IDS)}
        c.perhaps(0.8, made, "content", lambda: c.one([c.one(TEXTS), c.some(3, simple)]))
        c.perhaps(0.2, made, "is_error", lambda: True)
        return made

    def user():
        return controlled(c.one([simple, simple, result])())

    def assistant():
        return controlled(c.one([
            {"type": "text", "text": c.one(TEXTS)},
            {"type": "tool_use", "id": c.one(IDS), "name": c.one(NAMES), "input": c.one([{}, {"a": [1]}])},
            {"type": "thinking", "thinking": "hm", "signature": c.one(["c2ln", ""])},
            {"type": "redacted_thinking", "data": "ZGF0YQ=="},
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        ]))  # fmt: skip

    def turn():
        role = c.one(["user", "user", "assistant", "assistant", "system"])
        make = assistant if role == "assistant" else user if role == "user" else lambda: {"type": "text", "text": "s"}
        return {"role": role, "content": c.one([c.one(TEXTS), c.some(4, make)])}

    body = {"model": "strong", "max_tokens": c.one([0, 1, 4_000, 10**6]), "messages": c.some(6, turn) or [turn()]}
    c.perhaps(0.5, body, "system", lambda: c.one(
        [c.one(TEXTS), c.some(3, lambda: controlled({"type": "text", "text": c.one(TEXTS)}))]
    ))  # fmt: skip

    def tool():
        made = {"name": c.one(NAMES), "input_schema": c.one(SCHEMAS)}
        for name, value in (("description", "d"), ("strict", True), ("eager_input_streaming", True),
                            ("defer_loading", True), ("input_examples", [{}])):  # fmt: skip
            c.perhaps(0.15, made, name, lambda value=value: value)
        return controlled(made)

    c.perhaps(
        0.4,
        body,
        "tools",
        lambda: c.some(
            4,
            lambda: c.one(
                [
                    tool,
                    tool,
                    tool,
                    lambda: {
                        "type": c.one(["web_search_20250305", "bash_20250124", "tool_search_tool_regex_20251119"]),
                        "name": "bash",
                    },
                ]
            )(),
        ),
    )
    c.perhaps(0.3, body, "tool_choice", lambda: c.one([
        {"type": "auto"}, {"type": "any"}, {"type": "none"}, {"type": "tool", "name": c.one(NAMES)},
        {"type": "auto", "disable_parallel_tool_use": True},
    ]))  # fmt: skip
    c.perhaps(0.3, body, "thinking", lambda: c.one([
        {"type": "enabled", "budget_tokens": 1024}, {"type": "enabled", "budget_tokens": 10**6}, {"type": "disabled"},
        {"type": "adaptive"}, {"type": "adaptive", "display": "omitted"},
    ]))  # fmt: skip
    c.perhaps(0.2, body, "output_config", lambda: c.one(
        [{"effort": "low"}, {"effort": "max"}, {"task_budget": {"total": 5}}]
        + [{"format": {"type": "json_schema", "schema": schema}} for schema in SCHEMAS]
    ))  # fmt: skip
    for name, values in (
        ("temperature", NUMBERS), ("top_p", NUMBERS), ("top_k", [1, 40]), ("stop_sequences", STOPS),
        ("metadata", [{"user_id": "u" * 400}, {}]), ("cache_control", CONTROL), ("service_tier", ["auto"]),
        ("context_management", [{"edits": []}]), ("container", ["c"]), ("mcp_servers", [[]]), ("speed", ["fast"]),
        ("unheard_of", [1]), ("anthropic_beta", [["x-1"], [*BETAS][:3]]),
    ):  # fmt: skip
        c.perhaps(0.12, body, name, lambda values=values: c.one(values))
    c.perhaps(0.3, body, "stream", lambda: True)
    return body


def invoke(c):
    body = anthropic(c)
    del body["model"]
    body.pop("stream", None)
    return body | {"anthropic_version": "bedrock-2023-05-31"}


def converse(c):
    def point():
        return {"cachePoint": {"type": "default"} | c.one([{}, {"ttl": "5m"}, {"ttl": "1h"}])}

    def simple():
        return c.one([
            {"text": c.one(TEXTS)}, {"image": {"format": c.one(["png", "jpeg"]), "source": {"bytes": PNG}}},
            {"document": {"name": c.one(["a", "b", "A 1"]), "format": "txt", "source": {"bytes": "aGk="}}},
            {"document": {"name": "c", "format": "txt", "source": {"text": "hi"}}},
            {"video": {"format": "mp4", "source": {"bytes": "aGk="}}}, {"guardContent": {"text": {"text": "g"}}},
            point(),
        ])  # fmt: skip

    def result():
        inner = c.some(3, lambda: c.one([{"text": c.one(TEXTS)}, {"json": {"a": [1, None]}}, simple()]))
        inner = [block for block in inner if block.keys() & {"text", "json", "image", "document", "video"}]
        return {"toolResult": {"toolUseId": c.one(IDS), "content": inner} | c.one([{}, {"status": "error"}])}

    def turn():
        role = c.one(["user", "assistant"])

        def block():
            if role == "user":
                return c.one([simple, simple, result])()
            return c.one([
                {"text": c.one(TEXTS)},
                {"toolUse": {"toolUseId": c.one(IDS), "name": c.one(NAMES), "input": c.one([{}, {"a": 1}])}},
                {"reasoningContent": {"reasoningText": {"text": "t", "signature": "c2ln"}}}, point(),
            ])  # fmt: skip

        return {"role": role, "content": c.some(4, block) or [{"text": "x"}]}

    body = {"messages": c.some(6, turn) or [turn()]}
    c.perhaps(0.5, body, "system", lambda: c.some(3, lambda: c.one([{"text": c.one(TEXTS)}, point()])))

    def tool():
        spec = {"name": c.one(NAMES), "inputSchema": {"json": c.one(SCHEMAS)}}
        return c.one([{"toolSpec": spec | c.one([{}, {"description": "d"}, {"strict": True}])}, point()])

    def config():
        choice = c.one([{"auto": {}}, {"any": {}}, {"tool": {"name": c.one(NAMES)}}])
        return {"tools": c.some(3, tool) or [tool()]} | c.one([{}, {"toolChoice": choice}])

    c.perhaps(0.4, body, "toolConfig", config)
    c.perhaps(0.6, body, "inferenceConfig", lambda: c.one([
        {}, {"maxTokens": 1}, {"maxTokens": 10**6, "temperature": 0.3, "topP": 0.9}, {"stopSequences": c.one(STOPS)},
    ]))  # fmt: skip
    c.perhaps(0.2, body, "additionalModelRequestFields", lambda: c.one([
        {"top_k": 5}, {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"reasoningConfig": {"type": "enabled"}},
        {"inferenceConfig": {"topK": 3}}, {"anthropic_beta": ["x"]},
    ]))  # fmt: skip
    for name, values in (
        ("guardrailConfig", [{"guardrailIdentifier": "g", "guardrailVersion": "1"}]), ("requestMetadata", [{"a": "b"}]),
        ("performanceConfig", [{"latency": "optimized"}]), ("serviceTier", [{"type": "flex"}]),
        ("additionalModelResponseFieldPaths", [["/a"]]),
        ("outputConfig", [{"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{}"}}}}]),
    ):  # fmt: skip
        c.perhaps(0.1, body, name, lambda values=values: c.one(values))
    return body
