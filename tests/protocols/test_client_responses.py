# ruff: noqa: E501
"""The official openai client on the Responses surface: reads what our encoder writes, and our decoder reads what it
writes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Started,
    Stopped,
    TextDelta,
    ToolCallDelta,
    Usage,
    events_of,
)
from hapenny.core.messages import Document, Image, Message, Opaque, Text, Thinking, ToolResult, ToolUse
from hapenny.protocols import codec
from tests.protocols import samples
from tests.protocols.loopback import answers
from tests.protocols.strategies import completions
from tests.protocols.test_lossless import STREAMS, framed, through_stream, unframed

ASK = {"model": "m", "input": "hi"}
TALK = codec("responses")
EVENT = TypeAdapter(ResponseStreamEvent)
URL = {"type": "web_search_result_location", "url": "https://a.example", "title": "A", "cited_text": "x"}


def told(events, **fields):
    """The frames of a streamed answer."""
    encoder = TALK.encoder(samples.ask("responses", stream=True, **fields))
    return unframed("responses", encoder.encode(events) + encoder.end())


def read(frames):
    """The events that frames decode to."""
    decoder = TALK.decoder(model="m")
    return decoder.feed(framed("responses", frames)) + decoder.close()


class TestWhole:
    def test_text_and_counts(self, server, gpt):
        answers(server, "responses", samples.text_answer())
        done = gpt.responses.create(**ASK)
        assert done.output_text == 'Hello, wörld \U0001f600 "quoted"\n'
        assert (done.id, done.model, done.status, done.object) == ("resp_msg_1", "some-model", "completed", "response")
        assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (136, 7, 143)
        assert done.usage.input_tokens_details.cached_tokens == 100
        assert done.usage.input_tokens_details.cache_write_tokens == 25

    def test_calls(self, server, gpt):
        answers(server, "responses", samples.tool_answer())
        output = gpt.responses.create(**ASK).output
        assert [item.type for item in output] == ["message", "function_call", "function_call"]
        assert [(item.call_id, json.loads(item.arguments)) for item in output[1:]] == [
            ("call_a", {"place": "Dublin"}),
            ("call_b", {"place": "Cork"}),
        ]

    def test_reasoning_comes_back_with_its_signature(self, server, gpt):
        answers(server, "responses", samples.thinking_answer())
        done = gpt.responses.create(**ASK)
        assert done.output[0].summary[0].text == "First then."
        assert done.usage.output_tokens_details.reasoning_tokens == 4
        gpt.responses.create(model="m", input=[*done.output, {"role": "user", "content": "go on"}])
        assistant, user = server.request.messages
        assert [(b.text, b.signature) for b in assistant.content[:1]] == [("First then.", "c2ln")]
        assert assistant.content[1].redacted == "c2VjcmV0"
        assert (assistant.content[2].text, user.text) == ("Done.", "go on")

    @pytest.mark.parametrize(
        ("reason", "status", "why"),
        [
            ("max_tokens", "incomplete", "max_output_tokens"),
            ("context_window", "incomplete", "max_output_tokens"),
            ("guardrail", "incomplete", "content_filter"),
            ("refusal", "incomplete", "content_filter"),
            ("stop_sequence", "completed", None),
        ],
    )
    def test_why_it_ended(self, reason, status, why):
        events = [*samples.text_answer()[:-2], Stopped(reason), samples.text_answer()[-1]]
        body = json.loads(TALK.encode_answer(samples.collected(events), samples.ask("responses")))
        assert (body["status"], (body["incomplete_details"] or {}).get("reason")) == (status, why)
        assert body["output"][-1]["status"] == status
        last = told(events)[-1]
        assert last["type"] == f"response.{status}"
        assert last["response"]["incomplete_details"] == body["incomplete_details"]

    def test_a_refusal_of_a_chat_server_is_a_refusal_here(self):
        body = {
            "id": "i", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "refusal": "I will not."}}],
        }  # fmt: skip
        events = codec("openai").decode_answer(json.dumps(body).encode(), {})
        answer = json.loads(TALK.encode_answer(samples.collected(events), samples.ask("responses")))
        assert answer["status"] == "completed"
        assert answer["output"][0]["content"] == [{"type": "refusal", "refusal": "I will not."}]
        assert [frame["type"] for frame in told(events)][4:6] == ["response.refusal.delta", "response.refusal.done"]

    def test_it_echoes_the_request(self, server, gpt):
        answers(server, "responses", samples.text_answer())
        tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
        done = gpt.responses.create(
            **ASK, instructions="Be brief.", tools=[tool], tool_choice="required", max_output_tokens=50,
            reasoning={"effort": "low", "summary": "auto"}, metadata={"a": "b"}, parallel_tool_calls=False,
            text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
        )  # fmt: skip
        assert (done.instructions, done.max_output_tokens, done.tool_choice) == ("Be brief.", 50, "required")
        assert (done.reasoning.effort, done.reasoning.summary, done.metadata) == ("low", "auto", {"a": "b"})
        assert (done.tools[0].name, done.text.format.name, done.parallel_tool_calls) == ("f", "n", False)


class TestStream:
    def test_the_order_of_events(self):
        assert [frame["type"].removeprefix("response.") for frame in told(samples.tool_answer())] == [
            "created", "in_progress",
            "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done",
            "output_item.done",
            "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta",
            "function_call_arguments.done", "output_item.done",
            "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
            "completed",
        ]  # fmt: skip

    def test_the_order_of_reasoning(self):
        assert [frame["type"].removeprefix("response.") for frame in told(samples.thinking_answer())][:12] == [
            "created", "in_progress",
            "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
            "reasoning_summary_text.delta", "reasoning_summary_text.done", "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added", "output_item.done",
            "output_item.added",
        ]  # fmt: skip

    @pytest.mark.parametrize("sample", [samples.text_answer, samples.tool_answer, samples.thinking_answer])
    def test_frames_are_numbered_and_as_the_client_declares_them(self, sample):
        frames = told(sample())
        assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))
        for frame in frames:
            EVENT.validate_python(frame, strict=False)

    @pytest.mark.parametrize("sample", [samples.text_answer, samples.tool_answer, samples.thinking_answer])
    def test_a_stream_ends_with_what_a_whole_answer_is(self, sample):
        whole = json.loads(TALK.encode_answer(samples.collected(sample()), samples.ask("responses")))
        assert told(sample())[-1]["response"] == whole
        Response.model_validate(whole)

    def test_the_clients_helper_collects(self, server, gpt):
        answers(server, "responses", samples.tool_answer())
        with gpt.responses.stream(**ASK) as stream:
            kinds = {event.type for event in stream}
            done = stream.get_final_response()
        assert "response.function_call_arguments.done" in kinds
        assert [item.arguments for item in done.output[1:]] == ['{"place": "Dublin"}', '{"place": "Cork"}']
        assert done.usage.total_tokens == 143

    def test_neighbouring_texts_are_parts_of_one_message(self):
        events = [
            Started("msg_1", "m"), BlockStarted(0, "text"), TextDelta("a", 0), BlockStopped(0), BlockStarted(1, "text"),
            TextDelta("b", 1), CitationDelta(URL, 1), BlockStopped(1), Stopped("end_turn"), samples.text_answer()[-1],
        ]  # fmt: skip
        (message,) = told(events)[-1]["response"]["output"]
        assert [part["text"] for part in message["content"]] == ["a", "b"]
        note = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 1}
        assert message["content"][1]["annotations"] == [note]
        added = [frame for frame in told(events) if frame["type"].endswith("annotation.added")]
        assert (added[0]["annotation"], added[0]["content_index"], added[0]["annotation_index"]) == (note, 1, 0)

    def test_a_failure_in_mid_stream_is_the_answers_last_event(self):
        encoder = TALK.encoder(samples.ask("responses", stream=True))
        out = encoder.encode(samples.text_answer()[:3]) + encoder.error(Failure("rate_limited", "Slow down."), "r")
        frames = unframed("responses", out + encoder.end())
        assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))
        last = frames[-1]
        assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
        assert last["response"]["error"]["code"] == "rate_limit_exceeded"
        assert last["response"]["output"][0]["content"][0]["text"] == "Hello, "
        EVENT.validate_python(last)

    def test_a_failure_before_anything_began_is_an_error_event(self):
        encoder = TALK.encoder(samples.ask("responses", stream=True))
        (frame,) = unframed("responses", encoder.error(Failure("timeout", "Too late."), "r") + encoder.end())
        assert (frame["type"], frame["message"], frame["sequence_number"]) == ("error", "Too late.", 0)

    @settings(max_examples=20, deadline=None)
    @given(data=st.data())
    def test_what_is_written_is_read_again(self, data):
        done = data.draw(completions("anthropic"))
        again = samples.collected(read(told(events_of(done))))
        assert again.text == done.text
        calls = [(b.id, b.name, b.arguments) for b in done.choices[0].content if isinstance(b, ToolUse)]
        assert [(b.id, b.name, b.arguments) for b in again.choices[0].content if isinstance(b, ToolUse)] == calls
        assert (again.tokens.prompt, again.tokens.made) == (done.tokens.prompt, done.tokens.made)


class TestSameDialect:
    """What a provider of this dialect streams goes on as it came, unless a stage has changed it."""

    ITEMS = STREAMS["responses"][0]

    def test_frames_go_on_as_they_came(self):
        for size in (None, 7, 400):
            assert through_stream("responses", self.ITEMS, size) == self.ITEMS

    def events(self):
        return read(self.ITEMS)

    def rewritten(self, events):
        encoder = TALK.encoder(samples.ask("responses", stream=True))
        return unframed("responses", encoder.encode(events) + encoder.end())

    def test_a_changed_text_is_told_in_no_frame_of_the_provider(self):
        events = [TextDelta("***", e.block) if isinstance(e, TextDelta) else e for e in self.events()]
        frames = self.rewritten(events)
        assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))
        assert [frame["text"] for frame in frames if frame["type"] == "response.output_text.done"] == ["***"]
        (message,) = [item for item in frames[-1]["response"]["output"] if item["type"] == "message"]
        assert (message["id"], message["content"][0]["text"]) == ("msg_1", "***")
        assert '"t"' not in json.dumps([frame.get("text") for frame in frames])
        for item in ("function_call", "web_search_call", "custom_tool_call"):
            assert item in json.dumps(frames[-1]["response"]["output"])

    def test_a_dropped_text_comes_back_in_no_later_frame(self):
        frames = self.rewritten([e for e in self.events() if not isinstance(e, TextDelta)])
        texts = [frame["text"] for frame in frames if frame["type"] == "response.output_text.done"]
        assert texts == [""]
        assert frames[-1]["response"]["output"][1]["content"][0]["text"] == ""

    def test_a_dropped_call_argument_comes_back_in_no_later_frame(self):
        frames = self.rewritten([e for e in self.events() if not isinstance(e, ToolCallDelta)])
        assert frames[-1]["type"] == "response.completed"
        calls = [item for item in frames[-1]["response"]["output"] if item["type"] == "custom_tool_call"]
        assert calls[0]["input"] == ""

    def test_other_dialects_get_no_frame_of_this_one(self):
        for name in ("openai", "anthropic"):
            encoder = codec(name).encoder(samples.ask(name, stream=True, stream_usage=True))
            out = encoder.encode(self.events()) + encoder.end()
            assert b"event: response." not in out
            assert b'"t"' in out

    def test_its_tools_are_billed(self):
        from hapenny.protocols.billing import billed

        (counts,) = [event for event in self.events() if isinstance(event, Usage)]
        assert ("web_search", 1) in billed(counts.extras).units

    def test_a_stream_that_is_cut_is_no_answer(self):
        decoder = TALK.decoder(model="m")
        decoder.feed(framed("responses", self.ITEMS[:-1]))
        with pytest.raises(Failure, match="before the answer was complete"):
            decoder.close()

    def test_failed_and_error_events_are_failures(self):
        failed = {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "Slow."}}}
        error = {"type": "error", "code": "server_error", "message": "Down."}
        for frame, kind in ((failed, "rate_limited"), (error, "upstream")):
            decoder = TALK.decoder(model="m")
            with pytest.raises(Failure) as raised:
                decoder.feed(framed("responses", [*self.ITEMS[:2], frame]))
            assert raised.value.kind == kind

    def test_servers_that_leave_out_frames(self):
        bare = [
            {"type": "response.created", "response": {"id": "resp_9", "model": "m"}},
            {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "He"},
            {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "y"},
            {"type": "response.output_item.done", "output_index": 1,
             "item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}},
            {"type": "response.completed", "response": {"output": [], "usage": {"input_tokens": 1, "output_tokens": 2}}},
        ]  # fmt: skip
        done = samples.collected(read(bare))
        assert done.text == "Hey"
        assert [block.id for block in done.choices[0].content if isinstance(block, ToolUse)] == ["c"]
        assert (done.tokens.input, done.tokens.output) == (1, 2)


class TestRequest:
    def test_items_become_turns(self, server, gpt):
        answers(server, "responses", samples.text_answer())
        gpt.responses.create(
            model="m",
            instructions="Be brief.",
            input=[
                {"role": "developer", "content": "Be kind."},
                {"role": "user", "content": [
                    {"type": "input_text", "text": "Look"},
                    {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"},
                    {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
                ]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "3"},
            ],
        )  # fmt: skip
        request = server.request
        assert [block.text for block in request.system] == ["Be brief.", "Be kind."]
        assert request.messages == (
            Message("user", (
                Text("Look"), Image("image/png", b"hi", None, "low"), Document("application/pdf", b"hi", name="a.pdf"),
            )),
            Message("assistant", (ToolUse("c", "f"),)),
            Message("tool", (ToolResult("c", (Text("3"),)),)),
        )  # fmt: skip

    def test_parameters(self, server, gpt):
        answers(server, "responses", samples.text_answer())
        gpt.responses.create(
            **ASK, temperature=0.5, top_p=0.9, max_output_tokens=20, reasoning={"effort": "high", "summary": "auto"},
            text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
            tool_choice={"type": "function", "name": "f"}, parallel_tool_calls=False, store=False, user="u",
            truncation="auto", include=["reasoning.encrypted_content"], service_tier="flex",
        )  # fmt: skip
        request = server.request
        p = request.parameters
        assert (p.temperature, p.top_p, p.max_tokens, p.effort, p.service_tier) == (0.5, 0.9, 20, "high", "flex")
        assert p.format == {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
        }
        assert (request.tool_choice.kind, request.tool_choice.name, request.tool_choice.parallel) == (
            "tool",
            "f",
            False,
        )
        assert (request.store, request.user) == (False, "u")
        assert request.extras.keys() == {"reasoning.summary", "truncation", "include"}

    def test_what_openai_encrypted_means_nothing_to_others(self):
        item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
        body = {"model": "m", "input": [item, {"role": "user", "content": "hi"}]}
        request = TALK.decode_request(json.dumps(body).encode(), model=None, stream=None, headers={})
        (thought,) = request.messages[0].content
        assert isinstance(thought, Thinking)
        assert thought.signature is None
        assert json.loads(TALK.encode_request(request, model="m").body)["input"][0] == item

    def test_what_another_model_signed_does_not_go_to_openai(self):
        item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "hapenny:c2ln"}
        body = {"model": "m", "input": [item, {"role": "user", "content": "hi"}]}
        request = TALK.decode_request(json.dumps(body).encode(), model=None, stream=None, headers={})
        sent = json.loads(TALK.encode_request(request, model="m").body)["input"]
        assert [entry["type"] for entry in sent] == ["message"]

    def test_items_of_hosted_tools_are_opaque(self):
        body = {"model": "m", "input": [{"type": "web_search_call", "id": "ws_1"}, {"role": "user", "content": "hi"}]}
        request = TALK.decode_request(json.dumps(body).encode(), model=None, stream=None, headers={})
        assert isinstance(request.messages[0].content[0], Opaque)
        with pytest.raises(Failure) as raised:
            codec("bedrock").encode_request(request, model="m")
        assert (raised.value.kind, bool(raised.value.fix)) == ("invalid_request", True)

    def test_a_plain_question_is_the_same_as_by_chat(self):
        """Plain questions share what is cached for them, whichever dialect they came in."""
        ours = TALK.decode_request(
            json.dumps({"model": "m", "instructions": "s", "input": "hi", "temperature": 0}).encode(),
            model=None, stream=None, headers={},
        )  # fmt: skip
        chat = {
            "model": "m",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}],
            "temperature": 0,
        }
        theirs = codec("openai").decode_request(json.dumps(chat).encode(), model=None, stream=None, headers={})
        for name in ("system", "messages", "parameters", "extras", "tools"):
            assert getattr(ours, name) == getattr(theirs, name)
