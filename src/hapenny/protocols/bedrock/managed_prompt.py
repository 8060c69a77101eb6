"""Prompts of Bedrock's Prompt Management: what `GetPrompt` answers, as parts in the order of the provider's prefix.

The order is that of the prompt cache: tools, system, messages. A part is static until the first `{{variable}}` of the
template; a cache point pays where enough static tokens stand before it (the card's `cache_min`).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from hapenny.core.errors import Failure, invalid
from hapenny.core.messages import Message, Request, Text, Tool

VARIABLE = re.compile(r"\{\{\s*[A-Za-z0-9_]{1,100}\s*\}\}")
_POINT: dict[str, Any] = {"cachePoint": {"type": "default"}}


class Part(Struct, frozen=True):
    """A piece of a template. `at` is its place: the field, and the way to the block."""

    at: tuple[str | int, ...]
    text: str

    @property
    def static(self) -> str:
        """The text before its first variable."""
        match = VARIABLE.search(self.text)
        return self.text if match is None else self.text[: match.start()]


class Variant(Struct, frozen=True):
    """One variant of a managed prompt, as `GetPrompt` has it."""

    fields: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.fields.get("name", ""))

    @property
    def model(self) -> str:
        """The model it is for; empty where an agent or a caller chooses."""
        return str(self.fields.get("modelId") or "")

    @property
    def template(self) -> dict[str, Any]:
        """Its template, text or chat."""
        configuration = self.fields.get("templateConfiguration") or {}
        template = configuration.get("chat") or configuration.get("text")
        if not isinstance(template, dict):
            raise invalid("no text and no chat", "templateConfiguration", "send what GetPrompt answers")
        return template

    @property
    def chat(self) -> bool:
        """Whether it is a chat template."""
        return "chat" in (self.fields.get("templateConfiguration") or {})

    def parts(self) -> list[Part]:
        """Its texts, in the order of the prefix."""
        template = self.template
        if not self.chat:
            return [Part(("text",), str(template.get("text", "")))]
        parts = []
        for number, tool in enumerate((template.get("toolConfiguration") or {}).get("tools", ())):
            if "toolSpec" in tool:
                parts.append(Part(("tools", number), msgspec.json.encode(tool["toolSpec"]).decode()))
        for number, block in enumerate(template.get("system") or ()):
            if "text" in block:
                parts.append(Part(("system", number), str(block["text"])))
        for turn, message in enumerate(template.get("messages") or ()):
            for number, block in enumerate(message.get("content") or ()):
                if "text" in block:
                    parts.append(Part(("messages", turn, number), str(block["text"])))
        return parts

    def request(self) -> Request:
        """The template as a request, its variables as they stand: what counts, prices and lints requests reads it."""
        template = self.template
        if not self.chat:
            return Request(
                protocol="bedrock", model=self.model,
                messages=(Message(role="user", content=(Text(str(template.get("text", ""))),)),),
            )  # fmt: skip
        tools = tuple(
            Tool(
                name=str(tool["toolSpec"].get("name", "")), description=tool["toolSpec"].get("description"),
                schema=(tool["toolSpec"].get("inputSchema") or {}).get("json") or {},
            )
            for tool in (template.get("toolConfiguration") or {}).get("tools", ())
            if "toolSpec" in tool
        )  # fmt: skip
        messages = tuple(
            Message(
                role="assistant" if message.get("role") == "assistant" else "user",
                content=tuple(Text(str(block["text"])) for block in message.get("content") or () if "text" in block),
            )
            for message in template.get("messages") or ()
        )
        system = tuple(Text(str(block["text"])) for block in template.get("system") or () if "text" in block)
        return Request(protocol="bedrock", model=self.model, system=system, tools=tools, messages=messages)

    def has_points(self) -> bool:
        """Whether it has cache points already."""
        return b'"cachePoint"' in msgspec.json.encode(self.template)

    def pointed(self, after: Part) -> Variant:
        """This variant with a cache point behind the static text of a part.

        Raises:
            Failure: `invalid_request`, for a text template that a variable cuts: only chat templates have parts.
        """
        fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self.fields))
        configuration = fields["templateConfiguration"]
        if not self.chat:
            if after.static != after.text:
                raise Failure(
                    "invalid_request", "a text template has one part, and a variable stands in it",
                    field="templateConfiguration.text", fix="make it a chat template: its static part as system text",
                )  # fmt: skip
            configuration["text"]["cachePoint"] = _POINT["cachePoint"]
            return Variant(fields)
        template = configuration["chat"]
        kind, place = after.at[0], after.at[-1]
        if kind == "tools":
            blocks = template["toolConfiguration"]["tools"]
        elif kind == "system":
            blocks = template["system"]
        else:
            blocks = template["messages"][after.at[1]]["content"]
        assert isinstance(place, int)
        if after.static == after.text:
            blocks.insert(place + 1, _POINT)
        else:
            rest = after.text[len(after.static) :]
            blocks[place : place + 1] = [{"text": after.static}, _POINT, {"text": rest}]
        return Variant(fields)


def variants(prompt: dict[str, Any]) -> list[Variant]:
    """The variants of what `GetPrompt` answered. Raises `Failure`, `invalid_request`."""
    given = prompt.get("variants")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise invalid("no variants", "variants", "send what GetPrompt answers")
    return [Variant(each) for each in given]


def bodies(prompt: dict[str, Any], changed: list[Variant]) -> dict[str, dict[str, Any]]:
    """The bodies of the two calls that put a change in force: `UpdatePrompt` writes the draft, `CreatePromptVersion`
    makes a version of it."""
    update = {
        name: prompt[name]
        for name in ("name", "description", "customerEncryptionKeyArn", "defaultVariant")
        if prompt.get(name)
    }
    id = str(prompt.get("id") or prompt.get("arn") or "")
    update |= {"promptIdentifier": id, "variants": [variant.fields for variant in changed]}
    note = "Cache points behind the static prefix, as hapenny cache lint proposes"
    return {"UpdatePrompt": update, "CreatePromptVersion": {"promptIdentifier": id, "description": note}}
