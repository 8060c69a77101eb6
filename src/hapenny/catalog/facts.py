"""What the price file does not say: families, parameters, cache rules and quota burndown, by rule from a model's name.

Sources: Anthropic's and Amazon's model and prompt-caching references, OpenAI's model pages (as of the data file's
date); structured outputs: platform.claude.com/docs/en/build-with-claude/structured-outputs (Claude 4.5 and later);
prefill: platform.claude.com/docs/en/release-notes (none from Claude 4.6 on) and Amazon Nova's prompting guide. Where a
newer model of a strict line has no stated rule, it is taken to refuse.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from hapenny.catalog.card import Sampling, Tier

NONE = Sampling(temperature="no", top_p=False, top_k=False, both=False)


class Claude(NamedTuple):
    """A Claude model's line and version."""

    line: str
    version: tuple[int, int]


def claude(name: str) -> Claude | None:
    """The line and version in a Claude model's name, wherever the provider puts them."""
    match = re.search(r"claude-(\d)(?:-(\d))?-(opus|sonnet|haiku)", name)
    if match:
        return Claude(match[3], (int(match[1]), int(match[2] or 0)))
    match = re.search(r"claude-([a-z]+)-(\d)(?:-(\d)(?!\d))?", name)
    if match:
        return Claude(match[1], (int(match[2]), int(match[3] or 0)))
    if "claude-mythos" in name:
        return Claude("mythos", (5, 0))
    match = re.search(r"claude-(instant-)?v(\d)", name)
    return Claude("instant" if match[1] else "claude", (int(match[2]), 0)) if match else None


def family(name: str) -> str:
    """Whose model it is and which line."""
    made = claude(name)
    if made is not None:
        return f"claude-{made.line}"
    bare = name.rsplit("/", 1)[-1]
    match = re.search(r"(gpt-oss|gpt-\d+(?:\.\d+)?o?|gpt-audio|o\d)(?=-|$)", bare)
    if match:
        return match[1]
    match = re.search(
        r"(nova|titan|command|embed|rerank|llama|mistral|mixtral|deepseek|qwen|jamba|j2|grok|kimi|glm)", bare
    )
    if match:
        return match[1]
    return bare.split(".")[0] if "." in bare else bare.split("-")[0]


def tier(name: str) -> Tier | None:
    """A hint: which tier a model of this name usually serves."""
    made = claude(name)
    if made is not None:
        lines: dict[str, Tier] = {"haiku": "fast", "sonnet": "strong", "opus": "max", "fable": "max", "mythos": "max"}
        return "balanced" if made == Claude("haiku", (3, 5)) else lines.get(made.line)
    for pattern, answer in _TIERS:
        if re.search(pattern, name):
            return answer
    return None


_TIERS: list[tuple[str, Tier]] = [
    (r"nova-micro|gpt-[\d.]+-(nano|luna)", "fast"),
    (r"nova-(2-)?lite|gpt-[\d.]+o?-mini|o\d-mini|gpt-[\d.]+-terra", "balanced"),
    (r"nova-(2-)?pro|gpt-[\d.]+-sol", "strong"),
    (r"nova-premier|gpt-[\d.]+-(pro|astra)|o\d-pro", "max"),
    (r"gpt-(4o|4\.1|5(\.\d)?)(-\d{4}-\d\d-\d\d)?$", "strong"),
]


def sampling(name: str, flags: dict[str, Any]) -> Sampling:
    """Which sampling parameters the model takes."""
    if flags.get("supports_sampling_params") is False:
        return NONE
    made = claude(name)
    if made is not None:
        if made.version >= (4, 7) or made.line in ("fable", "mythos"):
            return NONE
        return Sampling(both=made.version < (4, 1))
    if re.search(r"(^|[./])(gpt-(5|6|rosalind|daybreak)|o\d)", name) and "chat" not in name:
        return Sampling(temperature="one", temperature_max=2.0, top_p=False, top_k=False, both=False)
    if re.search(r"(^|[./])(gpt-)", name):
        return Sampling(temperature_max=2.0, top_k="oss" in name)
    if re.search(r"nova|mistral|mixtral|command|jamba|qwen", name):
        return Sampling()
    return Sampling(top_k=False)


def extra_parameters(name: str, provider: str) -> frozenset[str]:
    """Further parameters that are taken."""
    if provider == "openai":
        if re.match(r"gpt-[5-9]|o\d|gpt-(rosalind|daybreak)", name) and "chat" not in name:
            return frozenset({"seed", "n", "verbosity"} if name.startswith("gpt-") else {"seed", "n"})
        return frozenset({"seed", "n", "presence_penalty", "frequency_penalty"})
    if provider == "bedrock_mantle" and "claude" not in name:
        return frozenset({"seed", "presence_penalty", "frequency_penalty"})
    return frozenset()


def stop_max(name: str, provider: str) -> int | None:
    """How many stop sequences are taken. None by OpenAI's models that reason (huggingface/smolagents issues 1671, 1868,
    1893; crewAI pull 5144), and none by GPT-OSS and Qwen behind Converse (crewAI issue 3317; dify-official-plugins
    issue 1767; langchain4j issue 3650)."""
    if provider in ("openai", "bedrock_mantle") and claude(name) is None:
        return 0 if re.match(r"gpt-[5-9]|o\d", name) and "chat" not in name else 4
    if provider.startswith("bedrock") and re.search(r"gpt-oss|qwen", name):
        return 0
    if "nova" in name:
        return 4
    return 8191 if claude(name) is not None else None


def efforts(name: str, flags: dict[str, Any]) -> tuple[str, ...]:
    """Reasoning efforts, lowest first."""
    made = claude(name)
    if made is not None:
        if not flags.get("supports_output_config"):
            return ()
        levels = ["low", "medium", "high"]
    elif re.search(r"(^|[./])(gpt-[5-9]|o[1-9]|gpt-oss)", name) and "chat" not in name:
        levels = ["low", "medium", "high"]
        if flags.get("supports_low_reasoning_effort") is False:
            levels.remove("low")
        if flags.get("supports_minimal_reasoning_effort"):
            levels.insert(0, "minimal")
        if flags.get("supports_none_reasoning_effort"):
            levels.insert(0, "none")
    elif "nova-2" in name:
        levels = ["low", "medium", "high"]
    else:
        return ()
    if flags.get("supports_xhigh_reasoning_effort"):
        levels.append("xhigh")
    if flags.get("supports_max_reasoning_effort"):
        levels.append("max")
    return tuple(levels)


def thinking(name: str, flags: dict[str, Any]) -> frozenset[str]:
    """Kinds of thinking that may be asked for."""
    made = claude(name)
    if made is None or made.version < (3, 7):
        return frozenset()
    kinds = set()
    if made.version < (4, 7) or flags.get("supports_legacy_thinking"):
        kinds.add("enabled")
    if flags.get("supports_adaptive_thinking") or made.version >= (4, 7):
        kinds.add("adaptive")
    if not flags.get("thinking_always_on"):
        kinds.add("disabled")
    return frozenset(kinds)


class Cache(NamedTuple):
    """How the provider's prompt cache is used."""

    mode: str | None
    minimum: int | None
    ttls: tuple[str, ...]
    points: int | None


def cache(name: str, provider: str, flags: dict[str, Any], hour: bool) -> Cache:
    """The prompt-cache rules: mode, shortest prefix, lifetimes (`hour`: its price is stated), cache points."""
    if not flags.get("supports_prompt_caching"):
        return Cache(None, None, (), None)
    if claude(name) is not None:
        return Cache("explicit", flags.get("prompt_cache_min_tokens"), ("5m", "1h") if hour else ("5m",), 4)
    if "nova" in name:
        return Cache("explicit", flags.get("prompt_cache_min_tokens") or 1000, ("5m",), 4)
    if provider in ("openai", "bedrock_mantle") or "gpt-" in name:
        return Cache("automatic", flags.get("prompt_cache_min_tokens") or 1024, (), None)
    return Cache("explicit", flags.get("prompt_cache_min_tokens"), ("5m",), 4)


def cache_places(name: str) -> tuple[str, ...]:
    """Where a cache point may stand: Nova takes none among tools (Amazon Bedrock's prompt-caching guide), and in a
    message only behind a text (calls of Nova 2 Lite made by others in October 2026: behind a tool's result or call it
    is refused as an extraneous key; prefixes beyond the 20,000 tokens that the guide names are written and read)."""
    return ("system", "messages") if "nova" in name else ("tools", "system", "messages")


def burndown(name: str, provider: str) -> int:
    """Quota tokens per output token.

    On Bedrock's runtime endpoint: 5 for Claude from 3.7 on, 15 for Opus 4.8, 10 for Claude 5 and newer, GPT-5.6 and
    newer and Kimi K3 and newer; 1 for all others, and always on the mantle endpoint. Verified: secondary (documentation
    and tests of aws-samples/sample-traffic-shaping-for-amazon-bedrock, September 2026, which cite the service's quota
    guide; read 30 November 2026); models newer than that are taken to burn as their line's youngest there.
    """
    if provider != "bedrock":
        return 1
    made = claude(name)
    if made is not None:
        if made.version >= (5, 0):
            return 10
        if made.version == (4, 8):
            return 15
        return 5 if made.version >= (3, 7) else 1
    match = re.search(r"(gpt|kimi-k)-?(\d{1,6})(?:\.(\d{1,6}))?(?!\d|b)", name)
    if match is not None:
        newest = {"gpt": (5, 6), "kimi-k": (3, 0)}[match[1]]
        return 10 if (int(match[2]), int(match[3] or 0)) >= newest else 1
    return 1


def tokenizer(name: str) -> str:
    """A hint which vocabulary counts. Claude's changed between 4.6 and 4.7."""
    made = claude(name)
    if made is not None:
        return "claude-2" if made.version >= (4, 7) else "claude"
    if re.search(r"gpt-3\.5|gpt-4(-|$)|text-embedding", name):
        return "cl100k"
    if re.search(r"gpt-|(^|/)o\d", name):
        return "o200k"
    return family(name)


_FLAGS = {
    "supports_function_calling": "tools",
    "supports_tool_choice": "tool_choice",
    "supports_parallel_function_calling": "parallel_tools",
    "supports_parallel_tool_use_config": "parallel_tools",
    "supports_vision": "vision",
    "supports_pdf_input": "pdf",
    "supports_audio_input": "audio_in",
    "supports_video_input": "video_in",
    "supports_response_schema": "json_schema",
    "supports_native_structured_output": "json_schema",
    "supports_assistant_prefill": "prefill",
    "supports_reasoning": "reasoning",
    "supports_prompt_caching": "prompt_caching",
    "supports_computer_use": "computer_use",
    "supports_embedding_image_input": "vision",
}
_SPEECHLESS = re.compile(r"amazon\.titan-t(ext|g1)|mistral\.mi(s|x)tral-(8x)?7b-instruct")
"""Models whose service takes no system prompt: danny-avila/LibreChat issue 6456, Mintplex-Labs/anything-llm issue 2486,
567-labs/instructor issue 1753 (the last of 2025-07-29)."""


def capabilities(name: str, flags: dict[str, Any]) -> frozenset[str]:
    """The capabilities that the price file states."""
    able = {word for flag, word in _FLAGS.items() if flags.get(flag)}
    if flags["mode"] in ("chat", "responses"):
        able.add("stream")
        if flags.get("supports_system_messages") is not False and not _SPEECHLESS.search(name):
            able.add("system")
    made = claude(name)
    nova = "nova" in name
    if made is not None and made.version >= (3, 0) and made != Claude("haiku", (3, 5)):
        able.add("vision")
    if "tool_choice" in able and flags.get("supports_forced_tool_use") is not False:
        able.add("forced_tools")
    # The file's `supports_response_schema` also counts a schema that LiteLLM says by a tool.
    if (made is not None and made.version < (4, 5)) or (nova and "bedrock" in flags["litellm_provider"]):
        able.discard("json_schema")
    if made is not None:
        (able.add if made.version < (4, 6) else able.discard)("prefill")
    elif nova:
        able.add("prefill")
    return frozenset(able)
