"""Answers of model servers as their projects document or snapshot them, read by our OpenAI codec. Their forms are those
of the sources; texts and counts are constructed."""

from __future__ import annotations

import json

import pytest

from hapenny.protocols import codec
from tests.protocols import samples
from tests.protocols.recorded_streams import counts, sse

TEXT = "Half a penny"
MESSAGE = {"role": "assistant", "content": TEXT, "tool_calls": None}

TRITON = {  # triton-inference-server/server, python/openai/README.md at 014f5d9 (tritonserver 24.08)
    "id": "cmpl-1",
    "choices": [{"finish_reason": "stop", "index": 0, "message": {**MESSAGE, "function_call": None}, "logprobs": None}],
    "created": 1,
    "model": "m",
    "system_fingerprint": None,
    "object": "chat.completion",
    "usage": None,
}
DJL = {  # deepjavalibrary/djl-serving, lmi/user_guides/chat_input_output_schema.md at 2924b70 (v0.29.0)
    "id": "chatcmpl-0",
    "object": "chat.completion",
    "created": 1,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": TEXT},
            "logprobs": None,
            "finish_reason": "eos_token",
        }
    ],
    "usage": counts(),
}
TGI = {  # huggingface/text-generation-inference, integration-tests snapshot test_flash_llama_simple at 28cecb6 (2.0.5)
    "choices": [
        {
            "finish_reason": "length",
            "index": 0,
            "logprobs": None,
            "message": {**MESSAGE, "name": None},
            "usage": None,
        }
    ],
    "created": 1716553098,
    "id": "",
    "model": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "object": "text_completion",
    "system_fingerprint": "2.0.5-dev0-native",
    "usage": counts(),
}
WHOLE = [
    pytest.param(TRITON, (0, 0), id="Triton and TensorRT-LLM behind its OpenAI frontend"),
    pytest.param(DJL, (9, 4), id="DJL Serving LMI"),
    pytest.param(TGI, (9, 4), id="Text Generation Inference"),
]


@pytest.mark.parametrize(("answer", "used"), WHOLE)
def test_a_whole_answer_of_a_model_server(answer, used):
    events = codec("openai").decode_answer(json.dumps(answer).encode(), {}, model="m", id="i", created=1)
    done = samples.collected(events)
    cut = answer["choices"][0]["finish_reason"] == "length"
    assert (done.text, done.choices[0].reason) == (TEXT, "max_tokens" if cut else "end_turn")
    tokens = done.tokens
    assert ((tokens.prompt, tokens.output) if tokens is not None else (0, 0)) == used


def test_a_stream_of_text_generation_inference():
    # huggingface/text-generation-inference, snapshots of its integration tests at 1ce1cf2 (2.3.2)
    def chunk(text, finish=None):
        delta = {"content": text, "role": "assistant", "tool_calls": None}
        choice = {"delta": delta, "finish_reason": finish, "index": 0, "logprobs": None}
        common = {"created": 1, "id": "", "model": "m", "object": "chat.completion.chunk", "usage": None}
        return {"choices": [choice], "system_fingerprint": "2.3.2-dev0-native", **common}

    decoder = codec("openai").decoder(model="m", id="i", created=1)
    body = sse(chunk("Half "), chunk("a"), chunk(" penny", "length"))
    done = samples.collected([*decoder.feed(body), *decoder.close()])
    assert (done.text, done.choices[0].reason) == (TEXT, "max_tokens")


def test_a_stream_of_vllm_with_counts_and_ids_in_each_chunk():
    # the fields of chunks recorded in vllm-project/vllm-omni#2313; counts go on in each chunk, and the last ones hold
    def chunk(text, made, finish=None, **more):
        choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": finish, "token_ids": None}
        return {
            "id": "chatcmpl-9814",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": {"prompt_tokens": 9, "total_tokens": 9 + made, "completion_tokens": made},
            "modality": "text",
            "metrics": {},
            **more,
        }

    first = chunk("", 0, prompt_token_ids=None)
    first["choices"][0]["delta"]["role"] = "assistant"
    end = chunk("", 4, "stop")
    end["choices"][0]["stop_reason"] = None
    decoder = codec("openai").decoder(model="m", id="i", created=1)
    events = decoder.feed(sse(first, chunk("Half ", 2), chunk("a penny", 4), end)) + decoder.close()
    done = samples.collected(events)
    assert (done.text, done.choices[0].reason) == (TEXT, "end_turn")
    assert (done.tokens.prompt, done.tokens.output) == (9, 4)


@pytest.mark.parametrize("last", [{"choices": []}, {}])
def test_noughts_after_figures_count_nothing(last):
    def chunk(delta, finish=None, **more):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}

    figures = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    noughts = dict.fromkeys(figures, 0)
    end = chunk({}, "stop", usage=figures if last else noughts)
    told = [chunk({"content": TEXT}, usage=figures), end, *([{**end, **last, "usage": noughts}] if last else [])]
    decoder = codec("openai").decoder(model="m", id="i", created=1)
    events = decoder.feed(sse(*told)) + decoder.close()
    done = samples.collected(events)
    assert (done.tokens.prompt, done.tokens.output) == (9, 4)
    frames = codec("openai").encoder(samples.ask(stream=True, stream_usage=True)).encode(events)
    assert b'"completion_tokens":0' not in frames.replace(b" ", b"")
