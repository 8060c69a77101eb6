"""The codecs by name."""

from __future__ import annotations

from hapenny.protocols.anthropic import Anthropic
from hapenny.protocols.bedrock import Bedrock
from hapenny.protocols.codec import Codec
from hapenny.protocols.invoke import Invoke
from hapenny.protocols.openai import OpenAI
from hapenny.protocols.openai.completions import Completions
from hapenny.protocols.openai.responses import Responses

CODECS: dict[str, Codec] = {
    "openai": OpenAI(),
    "responses": Responses(),
    "completions": Completions(),
    "anthropic": Anthropic(),
    "bedrock": Bedrock(),
    "invoke": Invoke(),
}


def codec(name: str) -> Codec:
    """The codec called `name`; KeyError if there is none."""
    return CODECS[name]
