"""What OpenAI's surfaces (chat completions, responses, completions) ask for alike: sampling, choice of a tool, counts
of a stream."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from hapenny.core.messages import ToolChoice
from hapenny.protocols import fields as f

_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def _stop(value: Any, path: str) -> tuple[str, ...]:
    return (value,) if type(value) is str else f.strings(value, path)


SAMPLING: dict[str, Callable[[Any, str], Any]] = {
    "max_tokens": partial(f.integer, low=0),
    "temperature": partial(f.number, low=0, high=2),
    "top_p": f.share,
    "top_k": f.integer,
    "stop": _stop,
    "seed": f.integer,
    "n": f.at_least_one,
    "presence_penalty": partial(f.number, low=-2, high=2),
    "frequency_penalty": partial(f.number, low=-2, high=2),
    "service_tier": f.optional_string,
}
"""Readers of parameters, by name: of a value and the path that a failure names."""


def tool_choice(
    choice: Any, parallel: Any, rest: dict[str, Any], named: Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]
) -> ToolChoice | None:
    """The choice of a tool; one of a kind that no other dialect has goes to `rest`.

    Args:
        choice: `tool_choice` as it was sent.
        parallel: `parallel_tool_calls` as it was sent.
        rest: fields of the request that nobody else understands.
        named: the name in a choice of one function, and what else stands there: where surfaces differ.

    Raises:
        Failure: `invalid_request`.
    """
    several = f.flag(parallel, "parallel_tool_calls")
    if type(choice) is str:
        if choice not in _CHOICES:
            f.wrong("tool_choice", "tool_choice is not auto, none or required.", "send auto, none, required or a tool")
        return ToolChoice(_CHOICES[choice], parallel=several)  # type: ignore[arg-type]
    if choice is not None:
        if f.mapping(choice, "tool_choice").get("type") == "function":
            name, extras = named(choice)
            return ToolChoice("tool", name, several, f.without_nulls(extras))
        rest["tool_choice"] = choice
    return None if several is None else ToolChoice(parallel=several)


def stream_usage(data: dict[str, Any]) -> bool:
    """Whether a stream is to end with its counts; what else `stream_options` hold stays in `data`."""
    options = data.pop("stream_options", None)
    if options is None:
        return False
    usage = bool(f.flag(f.mapping(options, "stream_options").pop("include_usage", None), "stream_options"))
    if options:
        data["stream_options"] = options
    return usage
