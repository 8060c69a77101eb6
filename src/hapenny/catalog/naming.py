"""Public names of models: the many ways in which people, SDKs and providers write one and the same model.

A name is read into what it says: the model (`claude-sonnet-4-5`), its edition (a date), and whether it names Bedrock
as the place. Two names mean the same model when their `model` is equal and no two dates contradict.

    claude-sonnet-4-5   claude-sonnet-4-5-20250929   claude-sonnet-4-5-latest   claude-sonnet-4.5
    claude-sonnet-4-5[1m]   claude-sonnet-4-5@20250929
    anthropic.claude-sonnet-4-5-20250929-v1:0   eu.anthropic.…   anthropic/claude-sonnet-4.5   bedrock/us-east-1/…
    arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.…

Sources: Anthropic's and Amazon's model id tables, OpenAI's snapshot names, LiteLLM's and OpenRouter's prefixes, the
`[1m]` of Claude Code.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

PROFILE = re.compile(r"(us-gov|us|eu|apac|jp|au|in|ca|sa|global)\.(?=[a-z0-9-]+\.)")
"""What Bedrock's inference profiles put before a model id: where the call may be answered."""
ARN = re.compile(r"arn:aws[a-z-]*:bedrock:([a-z0-9-]*):[0-9]*:([a-z-]+)/(.+)", re.DOTALL)
"""Region, kind of resource, its name."""

_TRANSPARENT = frozenset({"foundation-model", "inference-profile"})
"""Kinds of resources whose names are ids of models; application profiles, routers, provisioned and imported models
have names that say nothing."""
_MAKER = re.compile(
    r"(?:anthropic|amazon|openai|meta|mistral|cohere|ai21|deepseek|google|qwen|moonshotai|moonshot|minimax|nvidia|"
    r"writer|twelvelabs|zai|xai|stability|luma)\."
)
_BEDROCK = frozenset(
    {"bedrock", "bedrock_converse", "converse", "converse_like", "invoke", "amazon-bedrock", "bedrock_mantle"}
)
_PREFIXES = _BEDROCK | {"anthropic", "openai", "amazon", "amazon-nova", "cohere", "models"}
_REGION = re.compile(r"[a-z]{2,6}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}")
_REVISION = re.compile(r"(?:-v\d+)?:\d+$")
_CLAUDE_REVISION = re.compile(r"(?<=\d)-v\d+$")
_CONTEXT = re.compile(r"(?:\[\d+[km]\]|:\d+k)$")
_DATE = re.compile(r"[-@](?:(\d{8})|(\d{4})-(\d{2})-(\d{2}))$")
_TURNED = re.compile(r"claude-(\d+(?:-\d{1,2})?)-(opus|sonnet|haiku)$")
_LONGEST = 300


class PublicName(NamedTuple):
    """What a name says."""

    model: str
    """Without place, maker, edition and revision; empty where the name says nothing of the model."""
    date: str = ""
    """YYYYMMDD of the edition; empty: the newest is meant, or there is but one."""
    bedrock: bool = False
    """Whether the name is Bedrock's own, or names Bedrock."""
    region: str = ""
    """The region of an ARN, or of LiteLLM's `bedrock/REGION/…`."""
    arn: bool = False
    """Whether it is the ARN of something on Bedrock."""
    native: bool = False
    """Whether `bare` is an id that Bedrock takes as it stands."""
    bare: str = ""
    """The name without the prefixes that no provider knows (`bedrock/`, `anthropic/`, `[1m]`)."""


@lru_cache(4096)
def public_name(name: str) -> PublicName:
    """Reads a name. Never fails: what is no known form is a model of its own."""
    if len(name) > _LONGEST and not name.startswith("arn:"):
        return PublicName(name, bare=name)
    bare, named, region = name.strip(), False, ""
    arn = None
    while (arn := ARN.fullmatch(bare)) is None and "/" in bare:
        first, _, rest = bare.partition("/")
        if first.lower() in _PREFIXES and rest:
            named = named or first.lower() in _BEDROCK
        elif named and _REGION.fullmatch(first):
            region = first
        else:
            break
        bare = rest
    if arn is not None:
        known = arn[2] in _TRANSPARENT
        inner = public_name(arn[3]) if known else PublicName("")
        return PublicName(inner.model, inner.date, True, arn[1], True, True, bare)
    bare = _CONTEXT.sub("", bare)
    text = bare.lower()
    profile = PROFILE.match(text)
    text = text[profile.end() :] if profile is not None else text
    maker = _MAKER.match(text)
    text = text[maker.end() :] if maker is not None else text
    place = profile is not None or maker is not None or named
    if text.startswith("gpt-oss") and text.endswith("-1:0"):
        text = text[:-4]
    if not text.startswith(("claude-v", "titan", "rerank")):
        text = _REVISION.sub("", text)
    claude = text.startswith("claude-")
    if claude:
        text = _CLAUDE_REVISION.sub("", text)
    text, date = _dated(text)
    if text.endswith("-latest") and (claude or not text.endswith("chat-latest")):
        text = text[: -len("-latest")]
    if claude:
        text = text.replace(".", "-")
        turned = _TURNED.fullmatch(text)
        if turned is not None and turned[1][0] in "456789":
            text = f"claude-{turned[2]}-{turned[1]}"
        if re.fullmatch(r"claude-(?:opus|sonnet|haiku)-\d-0", text):
            text = text[:-2]
    elif text.startswith("nova-"):
        text = re.sub(r"-v\d+$", "", text)
    return PublicName(text, date, place, region, False, maker is not None, bare)


def _dated(text: str) -> tuple[str, str]:
    match = _DATE.search(text)
    if match is None:
        return text, ""
    return text[: match.start()], match[1] or match[2] + match[3] + match[4]


GEOGRAPHIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("us-gov-", ("us-gov",)),
    ("us-", ("us",)),
    ("ca-", ("ca", "us")),
    ("eu-", ("eu",)),
    ("ap-northeast-1", ("jp", "apac")),
    ("ap-northeast-3", ("jp", "apac")),
    ("ap-southeast-2", ("au", "apac")),
    ("ap-southeast-4", ("au", "apac")),
    ("ap-south-", ("in", "apac")),
    ("ap-", ("apac",)),
    ("sa-", ("sa",)),
)
"""How the names of regions begin, and the profiles whose calls stay in their geography, the nearest first."""


def geographies(region: str) -> tuple[str, ...]:
    """The profile prefixes that keep calls in the geography of `region`."""
    for begins, prefixes in GEOGRAPHIES:
        if region.startswith(begins):
            return prefixes
    return ()


def managed_prompt(name: str) -> bool:
    """Whether a model is named by the ARN of a prompt that the provider keeps: most of what it reads stands there, and
    not in the request."""
    arn = ARN.fullmatch(name)
    return arn is not None and arn[2] == "prompt"
