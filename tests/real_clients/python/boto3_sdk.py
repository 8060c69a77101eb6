"""boto3: Converse, its stream, InvokeModel with an Anthropic body, tools, errors."""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

client = boto3.client(
    "bedrock-runtime", region_name="us-east-1", endpoint_url=sys.argv[1], aws_access_key_id="AKIATEST",
    aws_secret_access_key="secret", config=Config(retries={"total_max_attempts": 1}),
)  # fmt: skip
ASK = [{"role": "user", "content": [{"text": "Hello"}]}]
CLAUDE = "anthropic.claude-3-sonnet-20240229-v1:0"

done = client.converse(modelId="strong", messages=ASK)
assert "21 degrees" in done["output"]["message"]["content"][0]["text"]
assert done["usage"]["totalTokens"] == 30
assert done["ResponseMetadata"]["RequestId"]
text, metadata = "", {}
for event in client.converse_stream(modelId="strong", messages=ASK)["stream"]:
    text += event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
    metadata = event.get("metadata", metadata)
assert "21 degrees" in text
assert metadata["usage"]["totalTokens"] == 30

schema = {"json": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
config = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": schema}}]}
messages = [{"role": "user", "content": [{"text": "What is the weather?"}]}]
turn = client.converse(modelId="strong", messages=messages, toolConfig=config)["output"]["message"]
call = turn["content"][0]["toolUse"]
assert call["input"]["city"]
result = {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": "21"}]}}
messages += [turn, {"role": "user", "content": [result]}]
done = client.converse(modelId="strong", messages=messages, toolConfig=config)
assert "21 degrees" in done["output"]["message"]["content"][0]["text"]

body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
answer = client.invoke_model(modelId=CLAUDE, body=json.dumps(body))
assert "21 degrees" in json.loads(answer["body"].read())["content"][0]["text"]
stream = client.invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps(body))["body"]
events = [json.loads(event["chunk"]["bytes"]) for event in stream]
assert events[-1]["type"] == "message_stop"
try:
    client.converse(modelId="strong", messages=[{"role": "user", "content": []}])
except ClientError as error:
    assert error.response["Error"]["Code"] == "ValidationException"
print("ok", boto3.__version__)
