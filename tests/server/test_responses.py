# ruff: noqa: E501, SIM117
"""`/v1/responses` through the gateway: the official client, every kind of backend, and what only a provider keeps."""

from __future__ import annotations

import contextlib
import json

import aiohttp
import openai
import pytest
from aiohttp import web

from hapenny.backends.fitting import restored
from hapenny.catalog import resolve
from hapenny.config import load
from hapenny.core.events import BlockStarted, BlockStopped, ToolCallDelta
from hapenny.protocols.rules import fit
from tests.backends.servers import serving as listening
from tests.protocols.test_lossless import RESPONSE, STREAMS, WHOLE
from tests.server.house import TEXT, THINKING, TOOLS, Scripted, failure, running, serving

CHAT = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "up",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "By chat."}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}  # fmt: skip
KEYED = """
keys:
  - {key: key-of-alice, tenant: alice}
  - {key: key-of-robert, tenant: bob}
  - {key: key-of-limited, tenant: limited, models: [mine]}
"""
FUNCTION = {
    "type": "function", "name": "stock", "parameters": {"type": "object", "properties": {}, "required": []}, "strict": False,
}  # fmt: skip


def client(url, key="k"):
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


@contextlib.asynccontextmanager
async def provider(*, responses=True):
    """(URL, what it was asked): an OpenAI-compatible server, with or without Responses."""
    seen = []

    async def answer(request):
        body = await request.json() if request.can_read_body else {}
        seen.append((request.path, body))
        if request.path == "/v1/chat/completions":
            return web.json_response(CHAT)
        if not request.path.startswith("/v1/responses") or not responses:
            return web.json_response({"detail": "Not Found"}, status=404)
        if body.get("stream"):
            frames = "".join(f"event: {item['type']}\ndata: {json.dumps(item)}\n\n" for item in STREAMS["responses"][0])
            return web.Response(text=frames, content_type="text/event-stream")
        return web.json_response(WHOLE["responses"][0])

    async with listening(answer) as base:
        yield base, seen


@contextlib.asynccontextmanager
async def before(base, tmp_path, *, extra="", backend="openai"):
    text = f"""
backends: {{up: {{kind: {backend}, base_url: "{base}/v1", api_key: sk}}, sim: {{kind: simulated}}}}
default_backend: up
models: {{mine: {{id: up-model, backend: up}}, other: {{id: amazon.nova-lite-v1:0, backend: sim}}}}
tiers: {{fast: mine, strong: mine}}
routes: {{default: {{holdout: 0}}}}
ledger: {{path: "{tmp_path / "l.db"}"}}
{extra}
"""
    async with running(load(text=text)) as (url, app):
        yield url, app


class Fitting(Scripted):
    """Makes requests fit for Bedrock's Converse, as its backend does."""

    def __init__(self, events):
        super().__init__(events)
        self.fitted = []

    async def call(self, request, target, limits):
        fitted = fit(request, "converse", target.model, resolve(target.model))
        self.fitted.append(fitted.request)
        return restored(await super().call(request, target, limits), fitted.undo)


class TestAnyBackend:
    async def test_a_question_is_answered_booked_and_billed_like_any_other(self, tmp_path):
        async with serving(tmp_path) as (url, app), client(url) as ask:
            raw = await ask.responses.with_raw_response.create(model="strong", input="What is a halfpenny bridge?")
            done = raw.parse()
            assert done.output_text
            assert done.status == "completed"
            assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens > 0
            row = await row_of(app, raw.headers["x-request-id"])
            assert row.protocol == "responses"
            assert row.actual > 0

    async def test_a_stream_has_openais_order_and_the_same_end(self, tmp_path):
        async with serving(tmp_path, Scripted(TOOLS)) as (url, _), client(url) as ask:
            async with ask.responses.stream(model="strong", input="x", tools=[FUNCTION]) as stream:
                kinds = [event.type.removeprefix("response.") async for event in stream]
                done = await stream.get_final_response()
        assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
        assert kinds[-1] == "completed"
        calls = [(item.name, item.arguments) for item in done.output if item.type == "function_call"]
        assert calls == [("stock", '{"title": "Tide of Cranes"}'), ("price", "{}")]

    async def test_a_turn_of_tools_goes_back(self, tmp_path):
        backend = Scripted(TOOLS)
        async with serving(tmp_path, backend) as (url, _), client(url) as ask:
            first = await ask.responses.create(model="strong", input="x", tools=[FUNCTION], store=False)
            results = [
                {"type": "function_call_output", "call_id": item.call_id, "output": "3"}
                for item in first.output
                if item.type == "function_call"
            ]
            question = [{"role": "user", "content": "x"}]
            await ask.responses.create(model="strong", input=[*question, *first.output, *results], tools=[FUNCTION])
        request = backend.asked[-1][0]
        assert [message.role for message in request.messages] == ["user", "assistant", "tool", "tool"]
        assert [block.id for block in request.messages[1].content[1:]] == ["toolu_1", "toolu_2"]
        assert [message.content[0].id for message in request.messages[2:]] == ["toolu_1", "toolu_2"]

    async def test_reasoning_and_its_signature_go_back(self, tmp_path):
        backend = Scripted(THINKING)
        async with serving(tmp_path, backend) as (url, _), client(url) as ask:
            first = await ask.responses.create(model="strong", input="x", reasoning={"effort": "low"})
            assert first.output[0].summary[0].text == "Hm."
            await ask.responses.create(model="strong", input=[*first.output, {"role": "user", "content": "y"}])
        thought = backend.asked[-1][0].messages[0].content[0]
        assert (thought.text, thought.signature) == ("Hm.", "c2lnbmVk")

    async def test_tokens_are_counted_before_a_call(self, tmp_path):
        async with serving(tmp_path) as (url, app), client(url) as ask:
            counted = await ask.responses.input_tokens.count(model="strong", input="What is a halfpenny bridge?")
            assert counted.input_tokens > 0
            assert app.gateway.backends["simulated"].provider.bill.calls == 0

    async def test_equal_questions_are_answered_from_the_cache(self, tmp_path):
        backend = Scripted()
        async with serving(tmp_path, backend) as (url, _), client(url) as ask:
            for _ in range(2):
                done = await ask.responses.create(model="strong", input="x", temperature=0)
                assert done.output_text == "Half a penny."
            chat = await ask.chat.completions.create(
                model="strong", messages=[{"role": "user", "content": "x"}], temperature=0
            )
        assert chat.choices[0].message.content == "Half a penny."
        assert len(backend.asked) == 1

    async def test_json_schema_is_asked_for_and_kept(self, tmp_path):
        schema = {
            "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False,
        }  # fmt: skip
        form = {"format": {"type": "json_schema", "name": "c", "schema": schema, "strict": True}}
        async with serving(tmp_path) as (url, _), client(url) as ask:
            done = await ask.responses.create(model="strong", input="Where?", text=form)
        assert list(json.loads(done.output_text)) == ["city"]

    async def test_what_cannot_be_sent_is_said(self, tmp_path):
        async with serving(tmp_path) as (url, _), client(url) as ask:
            raw = await ask.responses.with_raw_response.create(
                model="strong", input="x", truncation="auto", store=True, include=["reasoning.encrypted_content"]
            )
        notes = " ".join(value for name, value in raw.headers.items() if name.startswith("x-hapenny"))
        assert "truncation" in notes
        assert "store" in notes
        assert raw.parse().to_dict()["store"] is False

    async def test_free_form_tools_are_functions_elsewhere_and_free_form_again_here(self, tmp_path):
        events = [
            *TOOLS[:4], BlockStarted(1, "tool_use", id="toolu_1", name="apply_patch"), ToolCallDelta('{"input": "*** ', 1),
            ToolCallDelta('Begin Patch"}', 1), BlockStopped(1), *TOOLS[-2:],
        ]  # fmt: skip
        patch = {"type": "custom", "name": "apply_patch", "description": "Edits files.",
                 "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}}  # fmt: skip
        backend = Fitting(events)
        async with serving(tmp_path, backend) as (url, _), client(url) as ask:
            first = await ask.responses.create(model="strong", input="x", tools=[patch])
            call = first.output[-1]
            assert (call.type, call.name, call.input) == ("custom_tool_call", "apply_patch", "*** Begin Patch")
            async with ask.responses.stream(model="strong", input="x", tools=[patch]) as stream:
                kinds = [event.type async for event in stream]
                assert (await stream.get_final_response()).output[-1].input == "*** Begin Patch"
            assert "response.custom_tool_call_input.done" in kinds
            done = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "applied"}
            question = [{"role": "user", "content": "x"}]
            await ask.responses.create(model="strong", input=[*question, *first.output, done], tools=[patch])
        sent = backend.fitted[-1]
        assert sent.tools[0].schema["required"] == ["input"]
        assert "start: /.+/" in sent.tools[0].description
        assert json.loads(sent.messages[1].content[-1].arguments) == {"input": "*** Begin Patch"}
        assert sent.messages[2].content[0].content[0].text == "applied"

    async def test_hosted_tools_are_refused_with_the_fix(self, tmp_path):
        async with serving(tmp_path) as (url, _), client(url) as ask:
            with pytest.raises(openai.BadRequestError, match=r"web_search.*leave the tool out"):
                await ask.responses.create(model="strong", input="x", tools=[{"type": "web_search"}])

    @pytest.mark.parametrize(
        "field",
        [
            {"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"background": True},
            {"prompt": {"id": "pmpt_1"}}, {"input": [{"type": "item_reference", "id": "msg_1"}]},
        ],
    )  # fmt: skip
    async def test_state_that_nobody_keeps_is_refused_with_the_fix(self, tmp_path, field):
        async with serving(tmp_path) as (url, _), client(url) as ask:
            with pytest.raises(openai.BadRequestError, match=r"OpenAI backend") as refused:
                await ask.responses.create(**{"model": "strong", "input": "x", **field})
        assert refused.value.param == next(iter(field))

    @pytest.mark.parametrize("field", ["conversation", "batch_id", "container"])
    async def test_notes_of_the_client_name_nothing_at_a_provider(self, tmp_path, field):
        async with serving(tmp_path) as (url, _), client(url) as ask:
            done = await ask.responses.create(model="strong", input="hi", metadata={field: "mine"})
        assert done.status == "completed"

    async def test_what_a_hosted_tool_did_before_is_told_to_other_models(self, tmp_path):
        backend = Fitting(TEXT)
        called = {"type": "code_interpreter_call", "id": "ci", "container_id": "cntr_1", "code": "1+1", "outputs": []}
        turns = [{"role": "user", "content": "hi"}, called, {"role": "user", "content": "and?"}]
        async with serving(tmp_path, backend) as (url, _), client(url) as ask:
            done = await ask.responses.create(model="strong", input=turns)
        assert done.status == "completed"
        assert "1+1" in backend.fitted[-1].messages[1].content[0].text

    @pytest.mark.parametrize("stream", [False, True])
    async def test_failures_are_openais(self, tmp_path, stream):
        backend = Scripted(failure=failure("rate_limited", retry_after=3))
        async with serving(tmp_path, backend) as (url, _), client(url) as ask:
            with pytest.raises(openai.RateLimitError):
                await ask.responses.create(model="strong", input="x", stream=stream)
            with pytest.raises(openai.BadRequestError) as refused:
                await ask.responses.create(model="strong", input=[], stream=stream)
        assert refused.value.param == "input"

    async def test_a_failure_in_mid_stream_ends_it(self, tmp_path):
        backend = Scripted(after=failure("overloaded"))
        backend.events = backend.events[:3]
        async with serving(tmp_path, backend) as (url, _), client(url) as ask:
            events = [event async for event in await ask.responses.create(model="strong", input="x", stream=True)]
        assert events[-1].type == "response.failed"
        assert events[-1].response.error.code == "server_error"


class TestOpenAIBackend:
    """Where the provider answers Responses itself, it gets them as they came, and its answers go on as they came."""

    async def test_nothing_is_lost_whole(self, tmp_path):
        async with provider() as (base, seen), before(base, tmp_path) as (url, _), aiohttp.ClientSession() as session:
            body = {
                "model": "mine", "input": "x", "tools": [{"type": "web_search", "novel": 1}], "novel": {"a": 1},
                "reasoning": {"effort": "low", "summary": "auto"}, "include": ["x"],
            }  # fmt: skip
            async with session.post(url + "/v1/responses", json=body) as answer:
                done = await answer.json()
        path, sent = seen[0]
        assert path == "/v1/responses"
        assert sent.pop("model") == "up-model"
        assert sent.pop("input") == [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
        ]
        assert sent == {name: value for name, value in body.items() if name not in ("model", "input")}
        for name, value in WHOLE["responses"][0].items():
            if name not in ("usage", "output"):
                assert done[name] == value
        assert [item["id"] for item in done["output"]] == ["rs_1", "msg_1", "fc_1", "ctc_1", "ws_1"]

    async def test_nothing_is_lost_streamed(self, tmp_path):
        async with (
            provider() as (base, _),
            before(base, tmp_path) as (url, _),
            aiohttp.ClientSession() as session,
            session.post(url + "/v1/responses", json={"model": "mine", "input": "x", "stream": True}) as answer,
        ):
            text = await answer.text()
        frames = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        assert frames == STREAMS["responses"][0]

    async def test_a_server_without_them_is_asked_by_chat(self, tmp_path):
        async with provider(responses=False) as (base, seen), before(base, tmp_path) as (url, _), client(url) as ask:
            for _ in range(2):
                done = await ask.responses.create(model="mine", input="x", instructions="s")
                assert done.output_text == "By chat."
        assert [path for path, _ in seen] == ["/v1/responses", "/v1/chat/completions", "/v1/chat/completions"]
        assert [turn["role"] for turn in seen[1][1]["messages"]] == ["system", "user"]

    async def test_state_passes_to_the_provider_that_keeps_it(self, tmp_path):
        async with provider() as (base, seen), before(base, tmp_path) as (url, _), client(url) as ask:
            await ask.responses.create(model="mine", input="x", previous_response_id="resp_1")
            with pytest.raises(openai.BadRequestError):
                await ask.responses.create(model="other", input="x", previous_response_id="resp_1")
        assert len(seen) == 1
        assert seen[0][1]["previous_response_id"] == "resp_1"

    async def test_a_response_is_the_keys_that_made_it(self, tmp_path):
        async with provider() as (base, seen), before(base, tmp_path, extra=KEYED) as (url, _):
            async with client(url, "key-of-alice") as alice, client(url, "key-of-robert") as bob:
                made = await alice.responses.create(model="mine", input="x")
                await alice.responses.create(model="mine", input="y", previous_response_id=made.id)
                assert (await alice.responses.retrieve(made.id)).id == made.id
                reached = len(seen)
                for escaped in (False, True):
                    body = {"model": "mine", "input": [{"type": "input_file", "file_id": "file_of_alice"}]}
                    data = json.dumps(body)
                    data = data.replace("file_id", "file\\u005fid") if escaped else data
                    async with (
                        aiohttp.ClientSession() as session,
                        session.post(
                            url + "/v1/responses", data=data, headers={"authorization": "Bearer key-of-robert"}
                        ) as answer,
                    ):
                        assert answer.status == 404
                with pytest.raises(openai.NotFoundError):
                    await bob.responses.create(model="mine", input="y", previous_response_id=made.id)
                with pytest.raises(openai.NotFoundError):
                    await bob.responses.retrieve(made.id)
        assert len(seen) == reached

    async def test_a_key_for_certain_models_names_no_other_in_any_field(self, tmp_path):
        async with (
            provider() as (base, seen),
            before(base, tmp_path, extra=KEYED) as (url, _),
            client(url, "key-of-limited") as ask,
        ):
            for more in ({"models": ["mine", "dear"]}, {"tools": [{"type": "image_generation", "model": "dear"}]}):
                with pytest.raises(openai.PermissionDeniedError):
                    await ask.responses.create(model="mine", input="x", extra_body=more)
            with pytest.raises(openai.PermissionDeniedError):
                await ask.chat.completions.create(
                    model="mine", messages=[{"role": "user", "content": "x"}], extra_body={"models": ["dear"]}
                )
        assert seen == []

    async def test_its_counts_are_what_is_booked(self, tmp_path):
        async with provider() as (base, _), before(base, tmp_path) as (url, app), client(url) as ask:
            raw = await ask.responses.with_raw_response.create(model="mine", input="x")
            row = await row_of(app, raw.headers["x-request-id"])
        assert (row.tokens.input, row.tokens.cache_read, row.tokens.output, row.tokens.reasoning) == (4, 4, 5, 2)
        assert row.tokens.units == (("audio_input", 1), ("web_search", 1))
        assert RESPONSE["id"] == raw.parse().id


async def row_of(app, id):
    import asyncio

    for _ in range(200):
        await app.gateway.ledger.flush()
        row = await app.gateway.ledger.get(id)
        if row is not None:
            return row
        await asyncio.sleep(0.01)
    raise AssertionError("no row")
