"""Conversations as they reach a service: tool histories, blank turns, documents, who speaks first and last."""

from __future__ import annotations

import json
import re

import pytest

from hapenny.core.errors import Failure
from hapenny.core.messages import (
    Document,
    Image,
    Message,
    Parameters,
    Text,
    Thinking,
    Thinks,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from tests.protocols.rules.sending import LOOK_UP, NOVA, OPUS, PNG, SONNET, history, said, sent, user

# -- tool histories ---------------------------------------------------------------------------------------------------


def test_a_tool_history_without_tools_brings_stubs_of_its_tools():
    body, notes = sent("converse", SONNET, messages=(*history(), user("sum up")))
    (tool,) = body["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == "look_up"
    assert "toolChoice" not in body["toolConfig"]
    assert "do not call" in body["messages"][-1]["content"][-1]["text"]
    assert "tools=stubs" in notes


def test_forbidden_tools_stay_beside_their_history():
    body, notes = sent("converse", SONNET, messages=history(), tools=(LOOK_UP,), tool_choice=ToolChoice("none"))
    assert [tool["toolSpec"]["description"] for tool in body["toolConfig"]["tools"]] == ["d"]
    assert "tool_choice=none" in notes
    assert sent("anthropic", "claude-sonnet-4-5", messages=history(), tools=(LOOK_UP,), tool_choice=ToolChoice("none"))[
        0
    ]["tool_choice"] == {"type": "none"}


def test_a_model_without_tools_reads_the_history_as_text():
    body, notes = sent("converse", "amazon.titan-text-express-v1", messages=history())
    assert "toolConfig" not in body
    assert "look_up" in json.dumps(body["messages"])
    assert "4 left" in json.dumps(body["messages"])
    assert "tool_history=sent as text" in notes


@pytest.mark.parametrize("service", ["converse", "anthropic", "openai"])
def test_a_call_without_result_gets_one_and_a_result_without_call_becomes_text(service):
    protocol = "anthropic" if service == "openai" else "openai"
    model = {"converse": SONNET, "anthropic": "claude-sonnet-4-5", "openai": "gpt-4.1"}[service]
    stranger = Message("tool" if protocol == "openai" else "user", (ToolResult("zz", (Text("lost"),)),))
    body, notes = sent(
        service,
        model,
        protocol,
        messages=(user("a"), said(ToolUse("c1", "look_up")), stranger, user("go on")),
        tools=(LOOK_UP,),
    )
    text = json.dumps(body["messages"])
    assert "no result was given" in text
    assert "lost" in text
    assert "zz" not in text
    assert "1 missing" in notes
    assert "1 without their call" in notes


def test_nothing_stands_between_a_call_and_its_result_in_chat_completions():
    between = (Message("user", ()), Message("system", (Text("be brief"),)))
    ask_, call, result = history()
    talk = (ask_, call, *between, Message("user", result.content))
    body, _ = sent("openai", "gpt-4.1", "anthropic", messages=talk, tools=(LOOK_UP,))
    assert [turn["role"] for turn in body["messages"][:3]] == ["user", "assistant", "tool"]
    assert "be brief" in json.dumps(body["messages"][3:])


def test_results_stand_before_what_the_user_says():
    late = (
        user("a"),
        said(ToolUse("c1", "look_up")),
        user("and hurry"),
        Message("tool", (ToolResult("c1", (Text("4"),)),)),
    )
    body, _ = sent("anthropic", "claude-sonnet-4-5", messages=late, tools=(LOOK_UP,))
    assert [block["type"] for block in body["messages"][-1]["content"]] == ["tool_result", "text"]


@pytest.mark.parametrize(
    ("service", "model", "pattern"),
    [
        ("anthropic", "claude-sonnet-4-5", "[a-zA-Z0-9_-]+"),
        ("converse", SONNET, "[a-zA-Z0-9_-]{1,64}"),
        ("converse", "mistral.mistral-large-2407-v1:0", "[a-zA-Z0-9]{9}"),
    ],
)
@pytest.mark.parametrize("id_", ["functions.look_up:0", "call_" + "k" * 30 + "|fc_" + "9" * 50, "a"])
def test_foreign_ids_are_rewritten_alike_in_call_and_result(service, model, pattern, id_):
    body, _ = sent(service, model, messages=history(id_), tools=(LOOK_UP,))
    call, result = body["messages"][1]["content"][0], body["messages"][2]["content"][0]
    ids = (
        (call["id"], result["tool_use_id"])
        if service == "anthropic"
        else (call["toolUse"]["toolUseId"], result["toolResult"]["toolUseId"])
    )
    assert ids[0] == ids[1]
    assert re.fullmatch(pattern, ids[0])


def test_ids_that_are_taken_stay_and_turns_keep_their_bytes_as_the_conversation_grows():
    first = history("functions.look_up:0")
    short, _ = sent("converse", SONNET, messages=first, tools=(LOOK_UP,))
    longer, _ = sent("converse", SONNET, messages=(*first, *history("functions.look_up:1")), tools=(LOOK_UP,))
    assert longer["messages"][:2] == short["messages"][:2]
    body, notes = sent("converse", SONNET, messages=history("call_abc"), tools=(LOOK_UP,))
    assert body["messages"][1]["content"][0]["toolUse"]["toolUseId"] == "call_abc"
    assert notes == ""


def test_one_id_used_twice_becomes_two():
    body, _ = sent(
        "anthropic", "claude-sonnet-4-5", messages=(*history("call_0"), *history("call_0")), tools=(LOOK_UP,)
    )
    calls = [
        b["id"] for turn in body["messages"] for b in turn["content"] if isinstance(b, dict) and b["type"] == "tool_use"
    ]
    results = [
        b["tool_use_id"]
        for turn in body["messages"]
        for b in turn["content"]
        if isinstance(b, dict) and b["type"] == "tool_result"
    ]
    assert calls == results
    assert len(set(calls)) == 2


def test_a_long_id_of_the_clients_own_dialect_is_rewritten_too():
    """It may come from another model behind the gateway."""
    content = (ToolResult("functions.look_up:0", (Text("4"),)),)
    messages = (user("a"), said(ToolUse("functions.look_up:0", "look_up")), Message("user", content))
    body, _ = sent("anthropic", "claude-sonnet-4-5", "anthropic", messages=messages, tools=(LOOK_UP,))
    assert re.fullmatch("[a-zA-Z0-9_-]+", body["messages"][1]["content"][0]["id"])


def test_claude_thinks_no_more_where_its_last_calls_lost_their_thoughts():
    parameters = Parameters(effort="high", max_tokens=20_000)
    body, notes = sent("converse", SONNET, messages=history(), tools=(LOOK_UP,), parameters=parameters)
    assert "thinking" not in body.get("additionalModelRequestFields", {})
    assert "thinking=left out" in notes
    signed = (user("a"), said(Thinking("t", "c2ln"), ToolUse("c1", "look_up")), history()[2])
    body, _ = sent("converse", SONNET, messages=signed, tools=(LOOK_UP,), parameters=parameters)
    assert body["additionalModelRequestFields"]["thinking"]["type"] == "enabled"


def test_reasoning_of_another_model_is_left_out_with_a_note():
    messages = (user("a"), said(Thinking("mine", "c2ln"), "b"), user("c"))
    body, notes = sent("openai", "gpt-4.1", "anthropic", messages=messages)
    assert "mine" not in json.dumps(body)
    assert "reasoning=1" in notes
    body, notes = sent("converse", NOVA, "anthropic", messages=messages)
    assert "reasoningContent" not in json.dumps(body)
    assert "reasoning=1" in notes


# -- results for OpenAI -----------------------------------------------------------------------------------------------


def test_a_failed_result_says_so_to_openai():
    failed = Message("user", (ToolResult("c1", (Text("exit 1"),), True),))
    good = Message("user", (ToolResult("c1", (Text("exit 1"),)),))
    bodies = [
        sent(
            "openai",
            "gpt-4.1",
            "anthropic",
            messages=(user("a"), said(ToolUse("c1", "look_up")), one),
            tools=(LOOK_UP,),
        )[0]
        for one in (failed, good)
    ]
    assert [body["messages"][-1]["content"] for body in bodies] == ["Tool error: exit 1", "exit 1"]
    assert bodies[0]["messages"][-1].keys() == {"role", "tool_call_id", "content"}


def test_pictures_in_results_reach_openai_in_the_turn_behind():
    result = ToolResult("c1", (Text("a shot"), Image("image/png", PNG)))
    messages = (user("look"), said(ToolUse("c1", "shot")), Message("user", (result,)))
    body, notes = sent(
        "openai", "gpt-4.1", "anthropic", messages=messages, tools=(Tool("shot", schema={"type": "object"}),)
    )
    roles = [turn["role"] for turn in body["messages"]]
    assert roles == ["user", "assistant", "tool", "user"]
    assert body["messages"][2]["content"] == "a shot"
    assert body["messages"][3]["content"][-1]["type"] == "image_url"
    assert "1 pictures" in notes
    kept, _ = sent("converse", SONNET, "anthropic", messages=messages, tools=(Tool("shot", schema={"type": "object"}),))
    assert "image" in kept["messages"][-1]["content"][0]["toolResult"]["content"][1]


# -- blanks, first and last turns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("service", "model"), [("converse", SONNET), ("anthropic", "claude-sonnet-4-5")])
def test_blank_text_is_left_out_everywhere(service, model):
    talk = (user("hi"), said(" \n"), user("  ", "go on"), said(ToolUse("c1", "look_up")), history(result=("\n",))[2])
    body, notes = sent(service, model, messages=talk, system=(Text(" "), Text("be kind")), tools=(LOOK_UP,))
    assert not re.search(r'"text": "\s*"', json.dumps(body))
    assert "blank_text=4" in notes


def test_a_blank_question_is_still_a_question():
    for service, model in (("converse", SONNET), ("anthropic", "claude-sonnet-4-5")):
        body, _ = sent(service, model, messages=(user(" "),))
        assert "(empty)" in json.dumps(body["messages"])


def test_a_cache_point_on_a_blank_moves_to_the_block_before():
    messages = (Message("user", (Text("hi"), Text(" ", "default"))),)
    body, _ = sent("converse", SONNET, messages=messages)
    assert body["messages"][0]["content"] == [{"text": "hi"}, {"cachePoint": {"type": "default"}}]


def test_a_greeting_of_the_assistant_gets_a_user_turn_in_front_on_bedrock_alone():
    talk = (said("Welcome!"), user("When do you open?"))
    body, notes = sent("converse", SONNET, messages=talk)
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert "in front" in notes
    assert sent("anthropic", "claude-sonnet-4-5", messages=talk)[0]["messages"][0]["role"] == "assistant"
    kin, _ = sent("invoke", SONNET, "anthropic", messages=talk, parameters=Parameters(max_tokens=5))
    assert kin["messages"][0]["role"] == "user"


def test_instructions_alone_are_the_users_turn():
    for service, model in (("converse", SONNET), ("anthropic", "claude-sonnet-4-5")):
        body, notes = sent(service, model, messages=(), system=(Text("Write a poem", extras={"role": "developer"}),))
        assert "Write a poem" in json.dumps(body["messages"])
        assert "system" not in body
        assert "there is no other" in notes


@pytest.mark.parametrize("model", ["amazon.titan-text-express-v1", "mistral.mixtral-8x7b-instruct-v0:1"])
def test_instructions_go_into_the_first_turn_of_models_without_a_system_prompt(model):
    body, notes = sent("converse", model, system=(Text("be kind"),))
    assert body["messages"][0]["content"][0] == {"text": "be kind"}
    assert "system" not in body
    assert "takes no system prompt" in notes


def test_a_prefill_loses_the_white_space_at_its_end():
    for service, model, read in (
        ("converse", SONNET, lambda turn: turn["content"][0]["text"]),
        ("anthropic", "claude-sonnet-4-5", lambda turn: turn["content"]),
    ):
        body, notes = sent(service, model, messages=(user("a"), said("Answer: ")))
        assert read(body["messages"][-1]) == "Answer:"
        assert "prefill" in notes


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@pytest.mark.parametrize(("service", "model"), [("converse", OPUS), ("anthropic", "claude-opus-4-6")])
def test_a_model_without_prefill_is_asked_to_go_on(service, model, protocol):
    body, notes = sent(service, model, protocol, messages=(user("a"), said("Once upon")))
    assert body["messages"][-1]["role"] == "user"
    assert "Continue" in json.dumps(body["messages"][-1])
    assert "prefill=asked for in words" in notes


# -- documents and images ---------------------------------------------------------------------------------------------


def documents(*names):
    return tuple(Document("application/pdf", b"%PDF", name=name) for name in names)


def names(body):
    return [b["document"]["name"] for turn in body["messages"] for b in turn["content"] if "document" in b]


@pytest.mark.parametrize(
    "messages",
    [
        (Message("user", (*documents(None, None), Text("compare"))),),
        (Message("user", (*documents(None), Text("a"))), said("ok"), Message("user", (*documents(None), Text("b")))),
        (Message("user", (*documents("q_1.pdf", "q.1.pdf"), Text("x"))),),
        (Message("user", (*documents("a", "A", "a (2)", "a"), Text("x"))),),
    ],
)
def test_documents_have_names_of_their_own(messages):
    body, notes = sent("converse", SONNET, messages=messages)
    found = names(body)
    assert len({name.casefold() for name in found}) == len(found)
    assert "names of their own" in notes


def test_a_document_alone_gets_a_word_of_text():
    body, notes = sent("converse", SONNET, messages=(Message("user", documents("a")),))
    assert any("text" in block for block in body["messages"][0]["content"])
    assert "a word of text" in notes
    body, notes = sent("converse", SONNET, messages=(Message("user", documents("a")), user("what is it?")))
    assert [next(iter(block)) for block in body["messages"][0]["content"]] == ["document", "text"]
    assert notes == ""


def test_text_documents_go_as_files_unless_they_are_cited():
    plain = Document("text/plain", text="The grass is green.", name="n")
    cited = Document("text/plain", text="The grass is green.", name="n", citations=True)
    body, _ = sent("converse", SONNET, "anthropic", messages=(Message("user", (plain, Text("x"))),))
    assert "bytes" in body["messages"][0]["content"][0]["document"]["source"]
    body, _ = sent("converse", SONNET, messages=(Message("user", (cited, Text("x"))),))
    assert body["messages"][0]["content"][0]["document"]["source"] == {"text": "The grass is green."}
    body, notes = sent("converse", NOVA, "anthropic", messages=(Message("user", (cited, Text("x"))),))
    assert "citations" not in body["messages"][0]["content"][0]["document"]
    assert "citations=not asked for" in notes


@pytest.mark.parametrize(
    ("blocks", "model"),
    [
        (documents(*"abcdef"), SONNET),
        (tuple(Image("image/png", PNG) for _ in range(21)), SONNET),
        (tuple(Image("image/png", PNG) for _ in range(21)), NOVA),
    ],
)
def test_too_many_of_them_are_refused_with_the_fix(blocks, model):
    with pytest.raises(Failure) as caught:
        sent("converse", model, messages=(Message("user", (*blocks, Text("x"))),))
    assert caught.value.kind == "invalid_request"
    assert caught.value.field == "messages"
    assert "fewer" in caught.value.fix or "at most 5" in caught.value.fix


def test_many_images_go_where_they_are_taken():
    images = tuple(Image("image/png", PNG) for _ in range(29))
    body, _ = sent("converse", "anthropic.claude-sonnet-5", messages=(Message("user", (*images, Text("x"))),))
    assert len(body["messages"][0]["content"]) == 30


@pytest.mark.parametrize("media", ["image/jpg", "IMAGE/JPEG", "image/pjpeg", "image/png"])
def test_images_are_called_what_they_are(media):
    image = Image(media, b"\xff\xd8\xff\xe0 jpeg")
    message = (Message("user", (image, Text("x"))),)
    body, notes = sent("anthropic", "claude-sonnet-4-5", messages=message)
    assert body["messages"][0]["content"][0]["source"]["media_type"] == "image/jpeg"
    assert "sent as image/jpeg" in notes
    assert sent("converse", SONNET, messages=message)[0]["messages"][0]["content"][0]["image"]["format"] == "jpeg"


def test_images_that_bedrock_would_have_to_fetch_are_refused():
    web = (Message("user", (Image(url="https://example.com/a.png"), Text("x"))),)
    for service, protocol in (("converse", "openai"), ("invoke", "anthropic")):
        with pytest.raises(Failure) as caught:
            sent(service, SONNET, protocol, messages=web, parameters=Parameters(max_tokens=5))
        assert caught.value.kind == "invalid_request"
        assert "bytes" in caught.value.fix
    assert "https://example.com/a.png" in json.dumps(sent("anthropic", "claude-sonnet-4-5", messages=web)[0])


def test_thinking_forbids_a_forced_tool_so_it_is_left_out():
    body, notes = sent(
        "converse",
        SONNET,
        "anthropic",
        tools=(LOOK_UP,),
        tool_choice=ToolChoice("any"),
        parameters=Parameters(max_tokens=4000, thinking=Thinks("enabled", 1024)),
    )
    assert body["toolConfig"]["toolChoice"] == {"any": {}}
    assert "thinking=left out" in notes


@pytest.mark.parametrize(("service", "model"), [("anthropic", "claude-sonnet-4-5"), ("invoke", SONNET)])
def test_what_another_model_left_behind_does_not_stop_claude(service, model):
    thinks = Parameters(max_tokens=4000, thinking=Thinks("enabled", 1024))
    talk = (user("a"), said(Thinking("hm", ""), ToolUse("c1", "look_up")), Message("user", (ToolResult("c1", ()),)))
    body, notes = sent(service, model, "anthropic", messages=talk, tools=(LOOK_UP,), parameters=thinks)
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert "thinking" not in body
    assert "another model's" in notes
    assert "without their thoughts" in notes
    signed = (talk[0], said(Thinking("hm", "c2ln"), ToolUse("c1", "look_up")), talk[2])
    body, notes = sent(service, model, "anthropic", messages=signed, tools=(LOOK_UP,), parameters=thinks)
    assert body["thinking"]["budget_tokens"] == 1024
    assert notes == ""
