"""The three official clients, unmodified, as one function: what an operator's application would do."""

import anthropic
import boto3
import botocore.config
import openai

TOOL = {"type": "object", "properties": {"title": {"type": "string"}}}
PROTOCOLS = ("openai", "anthropic", "bedrock")


class Clients:
    """Asks a gateway at `url`. `ask` returns the text, the answer's headers in lower case, and what the client made."""

    def __init__(self, url):
        self.url = url

    def ask(self, protocol, text, **how):
        return getattr(self, f"_{protocol}")(text, **{"key": "key-of-tenant-a", "model": "fast", **how})

    def _openai(self, text, *, key, model, history=(), system=None, tool=None, stream=False, headers=None):
        turns = [{"role": role, "content": said} for role, said in (*history, ("user", text))]
        if system:
            turns.insert(0, {"role": "system", "content": system})
        more = {"tools": [{"type": "function", "function": {"name": tool, "parameters": TOOL}}]} if tool else {}
        with openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0) as client:
            raw = client.chat.completions.with_raw_response.create(
                model=model, messages=turns, temperature=0, max_tokens=200, stream=stream, extra_headers=headers, **more
            )
            made = raw.parse()
            if stream:
                said = "".join(chunk.choices[0].delta.content or "" for chunk in made if chunk.choices)
                return said, dict(raw.headers), None
            return made.choices[0].message.content, dict(raw.headers), made

    def _anthropic(self, text, *, key, model, history=(), system=None, tool=None, stream=False, headers=None):
        turns = [{"role": role, "content": said} for role, said in (*history, ("user", text))]
        more = {"system": system} if system else {}
        if tool:
            more["tools"] = [{"name": tool, "input_schema": TOOL}]
        with anthropic.Anthropic(base_url=self.url, api_key=key, max_retries=0) as client:
            raw = client.messages.with_raw_response.create(
                model=model, messages=turns, max_tokens=200, stream=stream, extra_headers=headers,
                extra_body={"temperature": 0}, **more,
            )  # fmt: skip
            made = raw.parse()
            if stream:
                said = "".join(
                    e.delta.text for e in made if e.type == "content_block_delta" and e.delta.type == "text_delta"
                )
                return said, dict(raw.headers), None
            return "".join(b.text for b in made.content if b.type == "text"), dict(raw.headers), made

    def _bedrock(self, text, *, key, model, history=(), system=None, tool=None, stream=False, headers=None):
        client = boto3.client(
            "bedrock-runtime", region_name="us-east-1", endpoint_url=self.url, aws_access_key_id=f"AKIA{key[-1]}",
            aws_secret_access_key=key, config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip

        def added(request, **_):
            for name, value in (headers or {}).items():
                request.headers[name] = value

        client.meta.events.register("before-sign", added)
        turns = [{"role": role, "content": [{"text": said}]} for role, said in (*history, ("user", text))]
        asked = {"modelId": model, "messages": turns, "inferenceConfig": {"temperature": 0, "maxTokens": 200}}
        if system:
            asked["system"] = [{"text": system}]
        if tool:
            asked["toolConfig"] = {"tools": [{"toolSpec": {"name": tool, "inputSchema": {"json": TOOL}}}]}
        try:
            if stream:
                made = client.converse_stream(**asked)
                deltas = [e["contentBlockDelta"]["delta"] for e in made["stream"] if "contentBlockDelta" in e]
                said = "".join(delta.get("text", "") for delta in deltas)
            else:
                made = client.converse(**asked)
                said = "".join(block.get("text", "") for block in made["output"]["message"]["content"])
            return said, made["ResponseMetadata"]["HTTPHeaders"], made
        finally:
            client.close()
