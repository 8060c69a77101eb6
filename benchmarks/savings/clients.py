"""Unmodified openai, anthropic and boto3 clients; a third of the requests each, half of them streamed."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from benchmarks.savings.traffic import Item
from hapenny.catalog import default

MAX_TOKENS = 400
ACCESS_KEY = "AKIAHAPENNY"


class Seen(NamedTuple):
    """What a client noticed: seconds to the first content and to the end, and an error if there was one."""

    first: float
    whole: float
    tokens: int
    error: str | None


def streamed(number: int) -> bool:
    """Whether request `number` is streamed: half of each client's."""
    return (number // 3) % 2 == 0


def temperature(model: str) -> dict[str, float]:
    """No chance in the answers, but for a model that takes no temperature: asked directly, it would refuse the call."""
    card = default().resolve(model)
    return {"temperature": 0.0} if card is None or card.sampling.temperature == "any" else {}


class Clients:
    """The three clients, pointed at one base URL."""

    def __init__(self, url: str, key: str) -> None:
        import anthropic
        import boto3
        import botocore.config
        import openai

        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        self.anthropic = anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0)
        # botocore from 1.44 on refuses a bearer key over plain HTTP, so this client signs, with the key as its secret.
        settings = botocore.config.Config(max_pool_connections=128, retries={"total_max_attempts": 1})
        self.boto3: Any = boto3.client(
            "bedrock-runtime",
            region_name="us-east-1",
            endpoint_url=url,
            config=settings,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=key,
        )
        self.threads = ThreadPoolExecutor(128)

    async def send(self, number: int, item: Item, model: str) -> Seen:
        """Sends one request in the dialect of its turn."""
        stream = streamed(number)
        how = (self.by_openai, self.by_anthropic, self.by_boto3)[number % 3]
        began = time.perf_counter()
        try:
            first, tokens = await how(item, model, stream, began)
        except Exception as error:
            return Seen(0.0, time.perf_counter() - began, 0, f"{type(error).__name__}: {str(error)[:200]}")
        whole = time.perf_counter() - began
        return Seen(first if stream else whole, whole, tokens, None)

    async def by_openai(self, item: Item, model: str, stream: bool, began: float) -> tuple[float, int]:
        messages: list[Any] = [{"role": "system", "content": item.system}]
        for message in item.messages:
            kept = {key: message[key] for key in ("role", "content", "tool_calls", "tool_call_id") if message.get(key)}
            kept.setdefault("content", None if "tool_calls" in kept else "")
            messages.append(kept)
        extra: dict[str, Any] = {}
        if item.tools:
            extra["tools"] = [
                {"type": "function", "function": {"name": tool["name"], "parameters": tool["schema"]}}
                for tool in item.tools
            ]
        headers = {"x-hapenny-session": item.session, "x-hapenny-feature": item.source}
        common: dict[str, Any] = {
            "model": model, "messages": messages, "max_tokens": MAX_TOKENS, "extra_headers": headers,
            **temperature(model),
        } | extra  # fmt: skip
        if not stream:
            answer = await self.openai.chat.completions.create(**common)
            assert answer.choices[0].finish_reason
            return 0.0, answer.usage.completion_tokens
        first, tokens, done = 0.0, -1, False
        async for chunk in await self.openai.chat.completions.create(
            **common, stream=True, stream_options={"include_usage": True}
        ):
            if chunk.usage:
                tokens = chunk.usage.completion_tokens
            for choice in chunk.choices:
                if not first and (choice.delta.content or choice.delta.tool_calls):
                    first = time.perf_counter() - began
                done = done or bool(choice.finish_reason)
        assert done
        assert tokens >= 0
        return first, tokens

    async def by_anthropic(self, item: Item, model: str, stream: bool, began: float) -> tuple[float, int]:
        extra: dict[str, Any] = {}
        if item.tools:
            extra["tools"] = [{"name": tool["name"], "input_schema": tool["schema"]} for tool in item.tools]
        common: dict[str, Any] = {
            "model": model, "messages": blocks(item), "max_tokens": MAX_TOKENS, "system": item.system,
            "extra_body": temperature(model),
            "extra_headers": {"x-hapenny-session": item.session, "x-hapenny-feature": item.source},
        } | extra  # fmt: skip
        if not stream:
            answer = await self.anthropic.messages.create(**common)
            assert answer.stop_reason
            return 0.0, answer.usage.output_tokens
        first = 0.0
        async with self.anthropic.messages.stream(**common) as events:
            async for event in events:
                if not first and event.type == "content_block_delta":
                    first = time.perf_counter() - began
            final = await events.get_final_message()
        assert final.stop_reason
        return first, final.usage.output_tokens

    async def by_boto3(self, item: Item, model: str, stream: bool, began: float) -> tuple[float, int]:
        return await asyncio.get_running_loop().run_in_executor(self.threads, self._boto3, item, model, stream, began)

    def _boto3(self, item: Item, model: str, stream: bool, began: float) -> tuple[float, int]:
        request: dict[str, Any] = {
            "modelId": model,
            "system": [{"text": item.system}],
            "messages": converse(item),
            "inferenceConfig": {"maxTokens": MAX_TOKENS, **temperature(model)},
            "requestMetadata": {"x-hapenny-session": item.session[:200], "x-hapenny-feature": item.source},
        }
        if item.tools:
            request["toolConfig"] = {
                "tools": [
                    {"toolSpec": {"name": tool["name"], "inputSchema": {"json": tool["schema"]}}} for tool in item.tools
                ]
            }
        if not stream:
            answer = self.boto3.converse(**request)
            assert answer["stopReason"]
            return 0.0, answer["usage"]["outputTokens"]
        first, tokens, done = 0.0, -1, False
        for event in self.boto3.converse_stream(**request)["stream"]:
            if not first and "contentBlockDelta" in event:
                first = time.perf_counter() - began
            if "metadata" in event:
                tokens = event["metadata"]["usage"]["outputTokens"]
            done = done or "messageStop" in event
        assert done
        assert tokens >= 0
        return first, tokens

    async def close(self) -> None:
        await self.openai.close()
        await self.anthropic.close()
        self.threads.shutdown(wait=False)


def blocks(item: Item) -> list[Any]:
    """The messages in Anthropic's form. Recorded runs use an id again for a later call, which Anthropic refuses: such
    calls are numbered."""
    out: list[dict[str, Any]] = []
    uses: Counter[str] = Counter()

    def current(id: str) -> str:
        return id if uses[id] < 2 else f"{id}-{uses[id]}"

    for message in item.messages:
        role = "assistant" if message["role"] == "assistant" else "user"
        content: list[dict[str, Any]] = []
        if message["role"] == "tool":
            text = message["content"] or ""
            result = [{"type": "text", "text": text}] if text.strip() else []  # Converse refuses blank text
            content.append({"type": "tool_result", "tool_use_id": current(message["tool_call_id"]), "content": result})
        elif message.get("content"):
            content.append({"type": "text", "text": message["content"]})
        for call in message.get("tool_calls") or []:
            function = call["function"]
            uses[call["id"]] += 1
            content.append(
                {"type": "tool_use", "id": current(call["id"]), "name": function["name"],
                 "input": json.loads(function["arguments"])}
            )  # fmt: skip
        if not content:
            continue
        if out and out[-1]["role"] == role:
            out[-1]["content"].extend(content)
        else:
            out.append({"role": role, "content": content})
    return out


def converse(item: Item) -> list[Any]:
    """The messages in Converse's form."""
    out = []
    for message in blocks(item):
        content: list[dict[str, Any]] = []
        for block in message["content"]:
            if block["type"] == "text":
                content.append({"text": block["text"]})
            elif block["type"] == "tool_use":
                content.append({"toolUse": {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}})
            else:
                result = [{"text": each["text"]} for each in block["content"]]
                content.append({"toolResult": {"toolUseId": block["tool_use_id"], "content": result}})
        out.append({"role": message["role"], "content": content})
    return out
