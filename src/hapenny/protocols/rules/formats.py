"""Answers in JSON from models whose service has no such format: by a tool the model is made to call, or in words.

A schema that the service takes is adapted to it. A schema it does not take becomes the input of a tool where the model
can be made to call one; JSON without a schema, and what no tool can carry, is asked for in words (begun for the model
where it continues an assistant turn) and checked on its way back.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from hapenny.core.errors import invalid
from hapenny.core.messages import Message, Text, Tool, ToolChoice
from hapenny.protocols.fields import encode
from hapenny.protocols.rules.draft import Draft
from hapenny.protocols.rules.schemas import Unsayable, adapted, tool_input
from hapenny.protocols.rules.undo import OneObject, Spoken

ANSWER = "give_the_answer"
ABOUT = "Gives the answer to the user. Call it once, with the whole answer."
IN_WORDS = (
    "Answer with one JSON object and nothing else: no words before or after it, no code fence. The answer is read by a"
    " program."
)
BY_SCHEMA = " It must fit this JSON schema:\n"
BEGUN = "{"


def of_beta(draft: Draft) -> None:
    """Anthropic's older word for a JSON schema, `output_format`, which Anthropic itself still takes."""
    request = draft.request
    form = request.extras.get("output_format")
    if draft.subject.service == "anthropic" or request.parameters.format is not None or not isinstance(form, dict):
        return
    if form.get("type") != "json_schema" or not isinstance(schema := form.get("schema"), dict):
        return
    said = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    draft.change(
        parameters=replace(request.parameters, format=said),
        extras={key: value for key, value in request.extras.items() if key != "output_format"},
    )


def formatted(draft: Draft) -> None:
    """Gives the answer's format to a model in the way it can be had.

    Raises:
        Failure: the format is none we know a way for.
    """
    form = draft.request.parameters.format
    if not isinstance(form, dict) or form.get("type") == "text":
        return
    if draft.subject.service == "openai":
        if draft.foreign and form.get("type") == "json_schema":
            _named(draft, form)
        return
    if form["type"] == "json_object":
        _in_words(draft, None)
        return
    if form["type"] != "json_schema":
        raise invalid(
            f"This model knows no response format {form['type']!r}.",
            "response_format",
            "send a json_schema or json_object",
        )
    given = form["json_schema"]
    schema = given.get("schema")
    if draft.subject.structured:
        if draft.subject.maker != "claude" or not draft.foreign:
            return
        try:
            closed, moved = adapted(schema)
        except Unsayable:
            pass
        else:
            if closed != schema:
                draft.change(
                    parameters=replace(
                        draft.request.parameters, format={**form, "json_schema": {**given, "schema": closed}}
                    )
                )
            if moved:
                draft.note("response_format=closed; said in descriptions alone: " + ",".join(moved))
            return
    _otherwise(draft, schema)


def _named(draft: Draft, form: dict[str, Any]) -> None:
    """A name that OpenAI takes for the schema: letters, digits, `_` and `-`, at most 64."""
    given = form["json_schema"]
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", str(given.get("name") or ANSWER))[:64]
    if name != given.get("name"):
        changed = {**form, "json_schema": {**given, "name": name}}
        draft.change(parameters=replace(draft.request.parameters, format=changed))


def _otherwise(draft: Draft, schema: Any) -> None:
    request = draft.request
    thinks = request.parameters.thinking is not None and request.parameters.thinking.kind != "disabled"
    free = not request.tools and not thinks and draft.subject.forces_tools and draft.subject.has("tools") is not False
    if not free or not isinstance(schema, dict) or not schema.get("properties"):
        _in_words(draft, schema)
        return
    tool = Tool(ANSWER, ABOUT, tool_input(schema))
    draft.change(
        tools=(tool,),
        tool_choice=ToolChoice("tool", ANSWER),
        parameters=replace(request.parameters, format=None),
    )
    draft.undo.append(Spoken(ANSWER))
    draft.note("response_format=json_schema said as a tool: the service takes no such format here")


def _in_words(draft: Draft, schema: Any) -> None:
    request, subject = draft.request, draft.subject
    words = IN_WORDS + (BY_SCHEMA + encode(schema).decode() if isinstance(schema, dict) and schema else "")
    thinks = request.parameters.thinking is not None and request.parameters.thinking.kind != "disabled"
    begins = subject.prefills and subject.maker in ("claude", "nova") and not thinks and not request.tools
    last = request.messages[-1].role if request.messages else "system"
    begins = begins and last in ("user", "tool")
    messages = request.messages
    if begins:
        messages = (*messages, Message("assistant", (Text(BEGUN),)))
    draft.change(
        system=(*request.system, Text(words)),
        messages=messages,
        parameters=replace(request.parameters, format=None),
    )
    draft.undo.append(OneObject(begins))
    draft.note(f"response_format={'json_schema' if schema else 'json_object'} asked for in words, checked here")
