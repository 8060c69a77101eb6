"""The model a request goes to, as far as service rules ask: which service, whose model, what it can do."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from hapenny.catalog import Card, base_id
from hapenny.catalog.facts import claude

Service: TypeAlias = Literal["openai", "responses", "completions", "anthropic", "converse", "invoke"]
"""OpenAI and compatible servers by chat completions, Responses, completions; Anthropic's own API; Bedrock Converse;
Bedrock InvokeModel with a messages body."""

_MAKERS = re.compile(
    r"(nova|titan|llama|mistral|mixtral|magistral|ministral|devstral|codestral|pixtral|voxtral|command|jamba|j2"
    r"|deepseek|qwen|gpt|kimi|glm|gemma|nemotron|minimax|palmyra|grok)"
)
_MISTRAL = frozenset(("mistral", "mixtral", "magistral", "ministral", "devstral", "codestral", "pixtral", "voxtral"))
_CONTINUES = frozenset(("claude", "nova", ""))
"""Makers whose models may continue an assistant turn on Bedrock; "" is a model we know nothing of."""
_WHOLE_CALLS = frozenset(("llama", "deepseek", "palmyra"))
"""Makers whose models call tools in whole answers alone on Converse."""
_NO_DEVELOPERS = frozenset(("deepseek", "gemma", "glm", "kimi", "llama", "minimax", "mistral", "qwen"))
"""Makers whose APIs, or whose models' chat templates, know no `developer`."""
_GPT = re.compile(r"gpt-(\d{1,6})(?:\.(\d{1,6}))?")

_TURNS_APART = frozenset(("llama", "mistral"))
"""Makers whose models on Converse want tool calls, and their results, in turns of their own."""


class Subject(NamedTuple):
    """The target of a request."""

    service: Service
    model: str
    card: Card | None
    maker: str
    """claude, nova, mistral, llama …; "" where the name does not tell."""
    version: tuple[int, int]
    """Of a Claude model; (0, 0) for others."""

    def has(self, capability: str) -> bool | None:
        """Whether the model has `capability`; None: the catalog does not know the model."""
        return self.card.has(capability) if self.card is not None else None

    @property
    def prefills(self) -> bool:
        """Whether a last assistant turn is continued."""
        if self.service == "openai":
            return self.maker != "mistral"
        if self.card is not None and self.maker in ("claude", "nova"):
            return self.card.has("prefill")
        if self.maker == "claude":
            return self.version < (4, 6)
        return self.service != "converse" or self.maker in _CONTINUES

    @property
    def is_openais(self) -> bool:
        """Whether OpenAI itself serves the model by chat completions."""
        return self.service == "openai" and self.card is not None and self.card.provider == "openai"

    @property
    def hears_developers(self) -> bool:
        """Whether chat completions of this model may take OpenAI's newer name for the system's role."""
        return self.maker not in _NO_DEVELOPERS

    def calls_thoughtless(self, effort: str | None) -> bool:
        """Whether OpenAI's chat completions refuse functions beside this effort (None: the model's own): its newer
        models reason and call functions by Responses alone."""
        if not self.is_openais or self.card is None or "none" not in self.card.efforts or effort == "none":
            return False
        made = _GPT.match(base_id(self.model).lower())
        version = (int(made[1]), int(made[2] or 0)) if made is not None else (0, 0)
        return version >= (5, 4) and (effort is not None or version >= (5, 5))  # 5.4 does not reason unless told to

    @property
    def structured(self) -> bool:
        """Whether the service takes a JSON schema for the answer of this model."""
        known = self.has("json_schema")
        if known is not None:
            return known
        if self.maker == "claude":
            return self.version >= (4, 5)
        return self.service == "openai" or not self.maker

    @property
    def forces_tools(self) -> bool:
        """Whether the model may be made to call a tool."""
        known = self.has("forced_tools")
        return known if known is not None else self.maker in ("claude", "nova", "") or self.service == "openai"

    @property
    def streams_tools(self) -> bool:
        """Whether the model may call tools in a streamed answer."""
        return self.service != "converse" or self.maker not in _WHOLE_CALLS

    @property
    def mixes_turns(self) -> bool:
        """Whether words may stand beside tool calls, or beside their results, in one turn."""
        return self.service != "converse" or self.maker not in _TURNS_APART

    @property
    def caches(self) -> bool:
        """Whether cache points are taken at all; a model the catalog does not know is taken to take them."""
        return self.card is None or self.card.cache_mode == "explicit"


def subject(service: Service, model: str, card: Card | None) -> Subject:
    """What rules ask of `model` at `service`."""
    maker, version = _made(model)
    if not maker and card is not None:  # an application profile that the configuration resolved
        maker, version = _made(card.id)
    return Subject(service, model, card, maker, version)


@lru_cache(maxsize=1024)
def _made(model: str) -> tuple[str, tuple[int, int]]:
    name = base_id(model).lower()
    made = claude(name)
    if made is not None or "claude" in name:
        return "claude", made.version if made is not None else (9, 9)  # newer than we can read: taken to be strict
    match = _MAKERS.search(name)
    if match is None:
        return "", (0, 0)
    return ("mistral" if match[1] in _MISTRAL else match[1]), (0, 0)
