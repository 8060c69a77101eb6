"""litellm: chat by three providers, Responses, embeddings; whole and streamed."""

import os
import sys

import litellm

url = sys.argv[1]
os.environ |= {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION_NAME": "us-east-1"}
ASK = [{"role": "user", "content": "Hello"}]
CLAUDE = "anthropic.claude-3-sonnet-20240229-v1:0"
ways = {
    "openai/strong": {"api_base": url + "/v1", "api_key": "k"},
    "anthropic/claude-3-sonnet": {"api_base": url, "api_key": "k"},
    f"bedrock/converse/{CLAUDE}": {"aws_bedrock_runtime_endpoint": url},
}
for model, fields in ways.items():
    done = litellm.completion(model=model, messages=ASK, max_tokens=50, **fields)
    assert "21 degrees" in done.choices[0].message.content, model
    stream = litellm.completion(model=model, messages=ASK, max_tokens=50, stream=True, **fields)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert "21 degrees" in text, model
done = litellm.responses(model="openai/strong", input="Hello", **ways["openai/strong"])
assert "21 degrees" in done.output[0].content[0].text
rows = litellm.embedding(model="openai/amazon.titan-embed-text-v2:0", input=["a"], **ways["openai/strong"])
assert rows.data[0]["embedding"] == [0.25, 0.5]
print("ok")
