"""OpenAI completions: reading and writing a request.

A prompt is one turn of the user. Several prompts are several requests: each is answered, booked and cached by itself.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hapenny.core.messages import Message, Opaque, Parameters, Request, Text
from hapenny.protocols import fields as f
from hapenny.protocols.openai.parameters import SAMPLING, stream_usage

MOST = 128
"""Prompts of one request."""
DEFAULT_TOKENS = 16
"""How long an answer is that sets no limit (platform.openai.com/docs/api-reference/completions: max_tokens)."""


def decode(body: bytes, stream: bool | None, most: int = MOST) -> list[Request]:
    """The requests in a body, one a prompt."""
    data = f.load(body)
    pop = data.pop
    model = f.needed(data, "model", "")
    prompt = pop("prompt", None)
    f.bound(data)
    parameters = Parameters(**{key: SAMPLING[key](pop(key), key) for key in [key for key in data if key in SAMPLING]})
    if f.flag(data.get("echo"), "echo") is False:
        pop("echo")
    f.optional_string(data.get("suffix"), "suffix")
    asked = bool(f.flag(pop("stream", None), "stream"))
    usage = stream_usage(data)
    shared = Request(
        protocol="completions",
        model=model,
        messages=(),
        parameters=parameters,
        stream=asked if stream is None else stream,
        stream_usage=usage,
        user=f.optional_string(pop("user", None), "user"),
        extras=f.without_nulls(data),
    )
    return [replace(shared, messages=(turn,)) for turn in _turns(prompt, most)]


def _turns(prompt: Any, most: int) -> list[Message]:
    if type(prompt) is str:
        return [Message("user", (Text(prompt),))]
    if type(prompt) is not list or not prompt:
        f.wrong("prompt", "prompt is missing, empty or neither text nor an array.", "send a text or an array of texts")
    if type(prompt[0]) is int:
        prompt = [prompt]
    if len(prompt) > most:
        f.wrong("prompt", f"prompt holds more than {most} entries.", f"send at most {most} at once")
    turns = []
    for i, each in enumerate(prompt):
        if type(each) is str:
            turns.append(Message("user", (Text(each),)))
        elif type(each) is list and each and all(type(token) is int for token in each):
            turns.append(Message("user", (Opaque("completions", each),)))
        else:
            f.wrong(f"prompt[{i}]", f"prompt[{i}] is neither text nor an array of tokens.", "send texts")
    return turns


def encode(request: Request, model: str) -> bytes:
    """The body for a server of the same dialect."""
    own = request.protocol == "completions"
    p = request.parameters
    out: dict[str, Any] = {"model": model, "prompt": _prompt(request)}
    values = (
        ("max_tokens", p.max_tokens),
        ("temperature", p.temperature),
        ("top_p", p.top_p),
        ("top_k", p.top_k),
        ("seed", p.seed),
        ("n", p.n),
        ("presence_penalty", p.presence_penalty),
        ("frequency_penalty", p.frequency_penalty),
        ("service_tier", p.service_tier),
        ("user", request.user),
    )
    out.update((key, value) for key, value in values if value is not None)
    if p.stop:
        out["stop"] = p.stop
    if own:
        out.update(request.extras)
    if request.stream:
        out["stream"] = True
        out["stream_options"] = {**out.get("stream_options", {}), "include_usage": True}
    return f.encode(out)


def _prompt(request: Request) -> Any:
    if len(request.messages) == 1 and not request.system and not request.tools:
        (content,) = [message.content for message in request.messages]
        if len(content) == 1 and isinstance(content[0], Opaque) and content[0].protocol == "completions":
            return content[0].payload
        if all(isinstance(block, Text) for block in content):
            return text_of(request)
    return f.wrong("messages", "This protocol takes one text, not a conversation.", "ask by chat completions")


def text_of(request: Request) -> str:
    """The prompt as text; "" for tokens."""
    return "\n".join(message.text for message in request.messages)
