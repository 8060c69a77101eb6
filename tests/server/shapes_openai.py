# ruff: noqa: E501
"""Request bodies of OpenAI's further surfaces by chance: Responses, completions, embeddings."""

from __future__ import annotations

from tests.server.shapes import IDS, NAMES, NUMBERS, PNG, SCHEMAS, STOPS, TEXTS


def responses(c):
    def part():
        return c.one([
            {"type": "input_text", "text": c.one(TEXTS)},
            {"type": "input_image", "image_url": f"data:image/{c.one(['png', 'jpg', 'jpeg'])};base64,{PNG}"},
            {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "high"},
            {"type": "input_file", "filename": c.one(["a.pdf", "a_1.pdf", "", "b"]),
             "file_data": "data:application/pdf;base64,JVBERg=="},
            {"type": "input_file", "file_url": "https://example.com/a.pdf"},
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        ])  # fmt: skip

    def content():
        return c.one([c.one(TEXTS), c.some(4, part), [{"type": "input_text", "text": c.one(TEXTS)}]])

    def spoken():
        part = c.one([
            {"type": "output_text", "text": c.one(TEXTS), "annotations": [], "logprobs": []},
            {"type": "output_text", "text": c.one(TEXTS), "annotations": [
                {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}]},
            {"type": "refusal", "refusal": "no"},
        ])  # fmt: skip
        return {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": [part]}

    def call():
        arguments = c.one(["{}", "", '{"a": 1}', "{bad", "[1]"])
        return {
            "type": "function_call",
            "id": "fc_1",
            "call_id": c.one(IDS),
            "name": c.one(NAMES),
            "arguments": arguments,
        }

    def result():
        return {"type": "function_call_output", "call_id": c.one(IDS), "output": c.one([c.one(TEXTS), c.some(3, part)])}

    def thought():
        made = {"type": "reasoning", "id": "rs_1", "summary": c.some(2, lambda: {"type": "summary_text", "text": "hm"})}
        c.perhaps(
            0.6, made, "encrypted_content", lambda: c.one(["gAAA", "hapenny:c2ln", "hapenny-redacted:ZGF0YQ==", ""])
        )
        return made

    def odd():
        return c.one([
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {"type": "custom_tool_call", "call_id": "c", "name": "x", "input": "y"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "z"}, {"type": "compaction", "encrypted_content": "x"},
        ])  # fmt: skip

    def item():
        kind = c.random.random()
        if kind < 0.4:
            return {"role": c.one(["user", "user", "assistant", "developer", "system"]), "content": content()}
        return c.one([spoken, call, result, thought, call, result, odd])()

    body = {"model": "strong", "input": c.one([c.one(TEXTS), c.some(7, item) or [item()]])}

    def tool():
        made = {"type": "function", "name": c.one(NAMES), "parameters": c.one(SCHEMAS)}
        c.perhaps(0.4, made, "description", lambda: c.one(TEXTS))
        c.perhaps(0.4, made, "strict", lambda: c.one([True, False, None]))
        return c.one([made] * 8 + [{"type": "web_search"}, {"type": "custom", "name": "x"}])

    c.perhaps(0.4, body, "tools", lambda: c.some(3, tool))
    c.perhaps(0.3, body, "tool_choice", lambda: c.one(
        ["auto", "none", "required", {"type": "function", "name": c.one(NAMES)},
         {"type": "allowed_tools", "mode": "auto", "tools": []}]))  # fmt: skip
    c.perhaps(0.3, body, "text", lambda: c.one(
        [{"format": {"type": "json_object"}}, {"format": {"type": "text"}}, {"verbosity": "low"}]
        + [{"format": {"type": "json_schema", "name": "s", "schema": schema}} for schema in SCHEMAS]
    ))  # fmt: skip
    c.perhaps(0.3, body, "reasoning", lambda: c.one(
        [{"effort": effort, "summary": "auto"} for effort in ("none", "minimal", "low", "high", "xhigh")] + [{}]))  # fmt: skip
    for name in ("temperature", "top_p"):
        c.perhaps(0.2, body, name, lambda: c.one(NUMBERS))
    for name, values in (
        ("instructions", TEXTS), ("max_output_tokens", [1, 16, 10**6]), ("parallel_tool_calls", [True, False]),
        ("store", [True, False]), ("metadata", [{"a": "b"}]), ("user", ["u" * 300]), ("safety_identifier", ["s" * 80]),
        ("prompt_cache_key", ["k"]), ("include", [["reasoning.encrypted_content"], []]), ("truncation", ["auto"]),
        ("service_tier", ["auto", "flex"]), ("top_logprobs", [2]), ("max_tool_calls", [1]), ("background", [False]),
        ("previous_response_id", [None]), ("unheard_of", [1]),
    ):  # fmt: skip
        c.perhaps(0.15, body, name, lambda values=values: c.one(values))
    c.perhaps(0.3, body, "stream", lambda: True)
    return body


def completions(c):
    prompt = c.one([c.one(TEXTS), c.some(3, lambda: c.one(TEXTS)) or "x", c.one(TEXTS), c.one(TEXTS)])
    body = {"model": "strong", "prompt": prompt}
    c.perhaps(0.3, body, "stop", lambda: c.one([*STOPS, "x", "\n"]))
    for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
        c.perhaps(0.2, body, name, lambda: c.one(NUMBERS))
    for name, values in (
        ("max_tokens", [0, 1, 100, 10**6]), ("echo", [True, False]), ("suffix", ["s", None]), ("logprobs", [0, 5]),
        ("best_of", [1, 2]), ("n", [1, 2]), ("seed", [1]), ("user", ["u" * 300]), ("logit_bias", [{"1": 1}]),
        ("unheard_of", [1]),
    ):  # fmt: skip
        c.perhaps(0.15, body, name, lambda values=values: c.one(values))
    c.perhaps(0.3, body, "stream", lambda: True)
    return body


def embeddings(c):
    texts = [text for text in TEXTS if text]
    body = {"model": c.one(["text-embedding-3-small", "amazon.titan-embed-text-v2:0", "cohere.embed-english-v3"])}
    body["input"] = c.one([c.one(TEXTS), c.some(5, lambda: c.one(texts)), [1, 2, 3], [[1], [2, 3]]])
    for name, values in (
        ("encoding_format", ["float", "base64"]), ("dimensions", [256, 512, 7]), ("user", ["u"]), ("input_type", ["search_query"]),
        ("unheard_of", [{"a": 1}]),
    ):  # fmt: skip
        c.perhaps(0.3, body, name, lambda values=values: c.one(values))
    return body
