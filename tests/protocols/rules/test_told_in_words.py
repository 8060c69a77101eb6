"""What a dialect says in words of its own, told to models behind another one: functions, refusals, allowed tools,
search results, loaded tools, namespaces, instructions in mid-conversation, and Claude Code's line to Anthropic."""

from __future__ import annotations

import json

import pytest

from hapenny.catalog import resolve
from hapenny.core.errors import Failure
from hapenny.core.events import BlockStarted, BlockStopped, Started, Stopped, ToolCallDelta
from hapenny.core.messages import Image, Message, Text, ToolResult, ToolUse
from hapenny.protocols import codec
from hapenny.protocols.rules import fit
from tests.protocols.rules.sending import DIALECT, LOOK_UP, NOVA, SONNET, said, sent, user
from tests.protocols.samples import collected

LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-2402-v1:0"
BILLED = "x-anthropic-billing-header: cc_version=2.1.38; cc_entrypoint=cli; cch=00000;"
SCHEMA = {"type": "object", "properties": {}}


def read(protocol, body):
    """The request a client of `protocol` sends, in fields for `sent`."""
    request = codec(protocol).decode_request(json.dumps(body).encode(), model=None, stream=None, headers={})
    names = ("messages", "system", "tools", "tool_choice", "parameters", "extras", "stream")
    return {name: getattr(request, name) for name in names}


def chat(**fields):
    return read("openai", {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields})


def texts(body):
    return json.dumps(body["messages"])


# -- the line of Claude Code ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "model", "kept"),
    [
        ("invoke", SONNET, False),
        ("converse", NOVA, False),
        ("openai", "gpt-4.1", False),
        ("anthropic", "claude-sonnet-4-5", True),
    ],
)
def test_who_is_billed_is_said_to_anthropic_alone(service, model, kept):
    body, notes = sent(service, model, "anthropic", system=(Text(BILLED), Text("You are Claude Code.", "5m")))
    assert ("billing-header" in json.dumps(body)) is kept
    assert "You are Claude Code." in json.dumps(body)
    assert ("billing-header" in notes) is not kept


def test_what_stands_below_the_line_stays():
    body, _ = sent("invoke", SONNET, "anthropic", system=(Text(BILLED + "\n\nBe brief."),))
    assert body["system"] == "Be brief." or body["system"] == [{"type": "text", "text": "Be brief."}]


# -- instructions in mid-conversation ---------------------------------------------------------------------------------


def talk(*late):
    first = Message("user", (Text("a long document", "5m"),))
    return (first, said("read"), *late, user("go on"))


@pytest.mark.parametrize(
    ("service", "model"), [("invoke", SONNET), ("converse", SONNET), ("anthropic", "claude-sonnet-4-5")]
)
def test_instructions_stay_in_their_place_where_the_prompt_is_cached(service, model):
    """A system prompt that grew with each turn would be a new prefix each time."""
    protocol = "anthropic" if service == "invoke" else "openai"
    system = (Text("Be kind."),)
    first, _ = sent(service, model, protocol, system=system, messages=talk())
    later, notes = sent(service, model, protocol, system=system, messages=talk(Message("system", (Text("Be brief."),))))
    assert later["system"] == first["system"]
    assert later["messages"][:2] == first["messages"][:2]
    assert all(turn["role"] != "system" for turn in later["messages"])
    assert "Be brief." in texts(later)
    assert "where they stand" in notes


def test_instructions_never_come_between_a_call_and_its_result():
    messages = (
        Message("user", (Text("stock?", "5m"),)),
        said(ToolUse("c1", "look_up")),
        Message("system", (Text("Be brief."),)),
        Message("user", (ToolResult("c1", (Text("4 left"),)),)),
    )
    body, _ = sent("invoke", SONNET, "anthropic", messages=messages, tools=(LOOK_UP,))
    kinds = [
        [block["type"] for block in turn["content"]] for turn in body["messages"] if isinstance(turn["content"], list)
    ]
    assert kinds[kinds.index(["tool_use"]) + 1][0] == "tool_result"
    assert "Be brief." in texts(body)


# -- words beside calls -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [LLAMA, MISTRAL])
@pytest.mark.parametrize("protocol", ["anthropic", "openai", "bedrock"])
def test_words_and_tool_blocks_stand_in_turns_of_their_own(model, protocol):
    messages = (
        user("stock?"),
        said("Let me look.", ToolUse("abcdefghi", "look_up")),
        Message("user" if protocol != "openai" else "tool", (ToolResult("abcdefghi", (Text("4 left"),)),)),
        user("and hurry"),
    )
    body, notes = sent("converse", model, protocol, messages=messages, tools=(LOOK_UP,))
    sides = [turn["role"] for turn in body["messages"]]
    assert sides == ["user", "assistant"] * (len(sides) // 2) + ["user"]
    for turn in body["messages"]:
        assert len({next(iter(block)) for block in turn["content"]}) == 1
    for words in ("Let me look.", "4 left", "and hurry"):
        assert words in texts(body)
    assert "turns of their own" in notes


def test_claude_and_nova_keep_words_beside_calls():
    messages = (
        user("stock?"),
        said("Let me look.", ToolUse("c1", "look_up")),
        Message("tool", (ToolResult("c1", ()),)),
    )
    for model in (SONNET, NOVA):
        body, _ = sent("converse", model, messages=messages, tools=(LOOK_UP,))
        assert [next(iter(block)) for block in body["messages"][1]["content"]] == ["text", "toolUse"]


# -- functions --------------------------------------------------------------------------------------------------------

FUNCTIONS = {"functions": [{"name": "look_up", "description": "d", "parameters": SCHEMA}]}
CALLED = [
    {"role": "user", "content": "stock?"},
    {"role": "assistant", "content": None, "function_call": {"name": "look_up", "arguments": '{"a": 1}'}},
    {"role": "function", "name": "look_up", "content": "4 left"},
]


@pytest.mark.parametrize(("service", "model"), [("converse", SONNET), ("anthropic", "claude-sonnet-4-5")])
def test_functions_are_tools_elsewhere(service, model):
    body, notes = sent(service, model, **chat(messages=CALLED, function_call={"name": "look_up"}, **FUNCTIONS))
    text = json.dumps(body)
    assert '"look_up"' in json.dumps(body.get("tools") or body["toolConfig"])
    assert "tool_use" in text or "toolUse" in text
    assert "4 left" in text
    assert "tool_result" in text or "toolResult" in text
    assert "functions=sent as tools" in notes


def test_functions_go_to_openai_as_they_are():
    body, _ = sent("openai", "gpt-4.1", **chat(messages=CALLED, **FUNCTIONS))
    assert body["functions"] == FUNCTIONS["functions"]
    assert body["messages"] == CALLED
    assert "tools" not in body


def called():
    return [
        Started("m1", "m"),
        BlockStarted(0, "tool_use", 0, "t1", "look_up"),
        ToolCallDelta('{"a": 1}', 0),
        BlockStopped(0),
        Stopped("tool_use"),
    ]


def test_a_client_that_sent_functions_reads_a_function_call():
    body = json.dumps({"model": "m", "messages": CALLED[:1], **FUNCTIONS}).encode()
    request = codec("openai").decode_request(body, model=None, stream=None, headers={})
    choice = json.loads(codec("openai").encode_answer(collected(called()), request))["choices"][0]
    assert choice["message"]["function_call"] == {"name": "look_up", "arguments": '{"a": 1}'}
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "function_call"
    frames = codec("openai").encoder(request).encode(called()).decode().split("\n\n")
    choices = [json.loads(frame[6:])["choices"][0] for frame in frames if frame]
    pieces = [one["delta"]["function_call"] for one in choices if "function_call" in one["delta"]]
    assert "".join(piece.get("arguments", "") for piece in pieces) == '{"a": 1}'
    assert pieces[0]["name"] == "look_up"
    assert choices[-1]["finish_reason"] == "function_call"


# -- what else chat completions say -----------------------------------------------------------------------------------


def test_a_refusal_in_the_history_is_text_elsewhere():
    messages = [
        CALLED[0],
        {"role": "assistant", "content": None, "refusal": "I cannot."},
        {"role": "user", "content": "Why?"},
    ]
    for service, model in (("converse", SONNET), ("anthropic", "claude-sonnet-4-5")):
        assert "I cannot." in texts(sent(service, model, **chat(messages=messages))[0])
    assert sent("openai", "gpt-4.1", **chat(messages=messages))[0]["messages"][1] == messages[1]


def test_a_tool_that_says_nothing_at_all():
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    messages = [
        CALLED[0],
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": None},
    ]
    body, _ = sent(
        "converse", SONNET, **chat(messages=messages, tools=[{"type": "function", "function": {"name": "look_up"}}])
    )
    assert body["messages"][2]["content"][0]["toolResult"]["toolUseId"] == "c1"


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize(("service", "model"), [("converse", NOVA), ("anthropic", "claude-sonnet-4-5")])
def test_allowed_tools_alone_are_offered(service, model, nested):
    tools = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("look_up", "delete")]
    inner = {"mode": "required", "tools": [{"type": "function", "function": {"name": "look_up"}}]}
    choice = {"type": "allowed_tools", **({"allowed_tools": inner} if nested else inner)}
    body, notes = sent(service, model, **chat(tools=tools, tool_choice=choice))
    offered = json.dumps(body.get("tools") or body["toolConfig"])
    assert "look_up" in offered
    assert "delete" not in offered
    assert '"any"' in json.dumps(body.get("tool_choice") or body["toolConfig"]["toolChoice"])
    assert "1 of 2 tools" in notes


def test_a_schemas_name_is_one_that_openai_takes():
    form = {"type": "json_schema", "json_schema": {"name": "a weird name!", "schema": SCHEMA}}
    fields = chat(response_format=form)
    body, _ = sent("openai", "gpt-4.1", "bedrock", **{**fields, "extras": {}})
    assert body["response_format"]["json_schema"]["name"] == "a_weird_name_"


def test_an_empty_image_is_refused_before_it_is_paid():
    with pytest.raises(Failure, match="no bytes"):
        sent("converse", SONNET, messages=(user("look", Image("image/png", b"")),))


@pytest.mark.parametrize(("service", "model"), [("openai", "gpt-5.2"), ("converse", "openai.gpt-oss-20b-1:0")])
def test_stop_sequences_that_a_model_refuses_are_watched_for_here(service, model):
    body, notes = sent(service, model, **chat(stop=["END"]))
    assert "END" not in json.dumps(body)
    assert "watched for by the gateway" in notes


# -- blocks of one dialect --------------------------------------------------------------------------------------------

FOUND = {
    "type": "search_result",
    "source": "https://a",
    "title": "Returns",
    "content": [{"type": "text", "text": "30 days"}],
}


@pytest.mark.parametrize(("service", "model"), [("openai", "gpt-4.1"), ("converse", NOVA)])
def test_search_results_are_text_elsewhere(service, model):
    blocks = [FOUND, {"type": "text", "text": "How long?"}]
    fields = read("anthropic", {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": blocks}]})
    body, notes = sent(service, model, "anthropic", **fields)
    for words in ("Returns", "https://a", "30 days", "How long?"):
        assert words in texts(body)
    assert "told in words" in notes


def test_a_loaded_tool_and_a_search_of_anthropics_own_are_told():
    turns = [
        {"role": "user", "content": "find it"},
        {
            "role": "assistant",
            "content": [
                {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "tea"}},
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "s1",
                    "content": [{"type": "web_search_result", "url": "https://t", "encrypted_content": "SEALED"}],
                },
                {"type": "tool_use", "id": "t1", "name": "find_tool", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "content": [{"type": "tool_reference", "tool_name": "order"}],
                }
            ],
        },
    ]
    tools = [{"name": "find_tool", "input_schema": SCHEMA}]
    fields = read("anthropic", {"model": "m", "max_tokens": 9, "messages": turns, "tools": tools})
    body, _ = sent("openai", "gpt-4.1", "anthropic", **fields)
    for words in ("tea", "https://t", "The tool order"):
        assert words in texts(body)
    assert "SEALED" not in texts(body)


def test_what_is_not_known_is_still_refused():
    odd = [{"type": "new_block", "x": 1}]
    fields = read("anthropic", {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": odd}]})
    with pytest.raises(Failure, match="only in another protocol"):
        sent("openai", "gpt-4.1", "anthropic", **fields)


# -- what Codex and editors send --------------------------------------------------------------------------------------

AGENTS = {
    "type": "namespace",
    "name": "agents",
    "description": "Other agents",
    "tools": [{"type": "function", "name": "spawn", "parameters": SCHEMA}, {"type": "function", "name": "wait"}],
}


def codex(**fields):
    body = {"model": "m", "input": [{"role": "user", "content": "hi"}], **fields}
    return codec("responses").decode_request(json.dumps(body).encode(), model=None, stream=None, headers={})


@pytest.mark.parametrize(
    ("service", "model"), [("converse", NOVA), ("anthropic", "claude-sonnet-4-5"), ("openai", "Qwen/Qwen3-8B")]
)
@pytest.mark.parametrize("later", [False, True])
def test_tools_of_a_namespace_are_functions_and_their_calls_come_back_with_it(service, model, later):
    request = codex(
        tools=[] if later else [AGENTS],
        input=[
            *([{"type": "additional_tools", "tools": [AGENTS]}] if later else []),
            {"role": "user", "content": "go"},
            {"type": "function_call", "namespace": "agents", "name": "wait", "call_id": "c1", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
        ],
    )
    fitted = fit(request, service, model, resolve(model))
    body = json.loads(codec(DIALECT[service]).encode_request(fitted.request, model=model).body)
    text = json.dumps(body)
    assert text.count('"agents__wait"') == 2
    assert '"agents__spawn"' in text
    assert "namespace" not in text
    assert "2 tools of namespaces" in "; ".join(fitted.notes)
    events = called()
    events[1] = BlockStarted(0, "tool_use", 0, "t1", "agents__spawn")
    told = fitted.undo.flow(events)
    (item,) = json.loads(codec("responses").encode_answer(collected(told), request))["output"]
    assert (item["type"], item["namespace"], item["name"], item["call_id"]) == (
        "function_call",
        "agents",
        "spawn",
        "t1",
    )
    streamed = codec("responses").encoder(request).encode(told).decode()
    assert '"namespace":"agents"' in streamed
    assert "agents__spawn" not in streamed


def test_the_search_in_openais_own_index_is_left_out_elsewhere_and_any_other_refused():
    request = codex(tools=[{"type": "web_search", "external_web_access": False}])
    fitted = fit(request, "converse", NOVA, resolve(NOVA))
    assert not fitted.request.tools
    assert "web_search" in "; ".join(fitted.notes)
    with pytest.raises(Failure, match="a tool that OpenAI runs"):
        fit(codex(tools=[{"type": "web_search"}]), "converse", NOVA, resolve(NOVA))


def test_mistral_hears_the_user_only_after_an_answer_to_the_results():
    messages = (
        user("stock?"),
        said(ToolUse("abcdefghi", "look_up")),
        Message("user", (ToolResult("abcdefghi", (Text("4 left"),)), Text("and hurry"))),
    )
    body, _ = sent("openai", "mistral-large-latest", "anthropic", messages=messages, tools=(LOOK_UP,))
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "tool", "assistant", "user"]
    body, _ = sent("openai", "gpt-4.1", "anthropic", messages=messages, tools=(LOOK_UP,))
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "tool", "user"]


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "name": "look_up", "description": "d", "parameters": SCHEMA},
        {"name": "look_up", "description": "d", "input_schema": SCHEMA},
    ],
)
def test_tools_without_the_level_of_function_are_read_in_chat_completions(tool):
    body, _ = sent("openai", "gpt-4.1", **chat(tools=[tool]))
    assert body["tools"] == [
        {"type": "function", "function": {"name": "look_up", "description": "d", "parameters": SCHEMA}}
    ]


def test_anthropics_calls_and_results_are_read_in_chat_completions():
    turns = [
        CALLED[0],
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look_up", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "4 left"}]},
    ]
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}]
    body, _ = sent("openai", "gpt-4.1", **chat(messages=turns, tools=tools))
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "look_up", "arguments": '{"a":1}'}
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "t1", "content": "4 left"}
    body, _ = sent("anthropic", "claude-sonnet-4-5", **chat(messages=turns, tools=tools))
    assert "4 left" in texts(body)
    assert "tool_use" in texts(body)


def test_converses_own_blocks_are_text_elsewhere():
    body = {
        "system": [{"guardContent": {"text": {"text": "Be kind.", "qualifiers": ["guard_content"]}}}],
        "messages": [
            {"role": "user", "content": [{"guardContent": {"text": {"text": "How long?"}}}]},
            {
                "role": "assistant",
                "content": [{"citationsContent": {"content": [{"text": "30 days"}], "citations": []}}],
            },
            {"role": "user", "content": [{"text": "Sure?"}]},
        ],
    }
    request = codec("bedrock").decode_request(json.dumps(body).encode(), model="m", stream=False, headers={})
    fields = {"messages": request.messages, "system": request.system}
    for service, model in (("openai", "gpt-4.1"), ("anthropic", "claude-sonnet-4-5")):
        text = json.dumps(sent(service, model, "bedrock", **fields)[0])
        for words in ("Be kind.", "How long?", "30 days", "Sure?"):
            assert words in text
    kept, _ = sent("converse", NOVA, "bedrock", **fields)
    assert kept["system"] == body["system"]
    assert kept["messages"] == body["messages"]


# -- what OpenAI's own tools did, and summaries -----------------------------------------------------------------------

ITEMS = [
    {"role": "user", "content": "q"},
    {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "raw"},
    {"type": "custom_tool_call_output", "call_id": "c1", "output": "patched"},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "tides"}},
    {"type": "code_interpreter_call", "id": "ci_1", "code": "1+1", "container_id": "x", "outputs": []},
    {"type": "image_generation_call", "id": "ig_1", "result": "QUJDRA==", "status": "completed"},
    {"type": "mcp_list_tools", "id": "m_1", "server_label": "wiki", "tools": [{"name": "read", "input_schema": {}}]},
    {"type": "local_shell_call", "id": "l_1", "call_id": "k", "action": {"command": ["ls"]}, "status": "completed"},
    {"type": "local_shell_call_output", "id": "l_2", "output": "one.txt"},
    {"role": "user", "content": "sum up"},
]


@pytest.mark.parametrize(
    ("service", "model"), [("converse", SONNET), ("converse", NOVA), ("anthropic", "claude-sonnet-4-5")]
)
def test_a_conversation_with_openais_tools_goes_on_elsewhere_without_them(service, model):
    """A summary is asked for without tools, and the history tells of them."""
    body, notes = sent(service, model, "responses", **read("responses", {"model": "m", "input": ITEMS}))
    told = texts(body)
    for words in ("raw", "patched", "tides", "1+1", "wiki", "read", "ls", "one.txt", "sum up"):
        assert words in told
    assert "QUJDRA==" not in told
    assert "told in words" in notes


def test_chats_free_form_calls_in_the_history_need_no_tools():
    call = {"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "raw"}}
    turns = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "patched"},
    ]
    body, _ = sent("anthropic", "claude-sonnet-4-5", **chat(messages=turns))
    assert body["messages"][1]["content"][0]["input"] == {"input": "raw"}
    assert body["messages"][2]["content"][0]["tool_use_id"] == "c1"


@pytest.mark.parametrize(("service", "model"), [("converse", NOVA), ("openai", "gpt-4.1")])
def test_a_summary_of_what_was_said_goes_on_as_text(service, model):
    turns = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "compaction", "content": "We spoke of tides."}]},
        {"role": "user", "content": "and?"},
    ]
    body, _ = sent(service, model, "anthropic", **read("anthropic", {"model": "m", "max_tokens": 9, "messages": turns}))
    assert "We spoke of tides." in texts(body)


# -- Anthropic's older word for a schema ------------------------------------------------------------------------------

FORM = {
    "type": "json_schema",
    "schema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    },
}


def asked_for(service, model):
    fields = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "q"}], "output_format": FORM}
    return sent(service, model, "anthropic", **read("anthropic", fields))


def test_output_format_is_the_answers_schema_elsewhere():
    body, notes = asked_for("invoke", SONNET)
    assert body["output_config"] == {"format": FORM}
    assert "output_format" not in notes
    chat_body, _ = asked_for("openai", "gpt-4.1")
    assert chat_body["response_format"]["json_schema"]["schema"] == FORM["schema"]
    nova, _ = asked_for("converse", NOVA)
    assert nova["toolConfig"]["toolChoice"] == {"tool": {"name": "give_the_answer"}}


def test_anthropic_gets_it_as_it_was_written():
    body, _ = asked_for("anthropic", "claude-sonnet-4-5")
    assert body["output_format"] == FORM
    assert "output_config" not in body
