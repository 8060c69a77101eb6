"""llama-index: OpenAI-like and Bedrock Converse, whole and streamed."""

import sys

import boto3
from llama_index.core.llms import ChatMessage
from llama_index.llms.bedrock_converse import BedrockConverse
from llama_index.llms.openai_like import OpenAILike

url = sys.argv[1]
aws = boto3.client(
    "bedrock-runtime",
    region_name="us-east-1",
    endpoint_url=url,
    aws_access_key_id="AKIATEST",
    aws_secret_access_key="s",
)
models = [
    OpenAILike(model="strong", api_base=url + "/v1", api_key="k", is_chat_model=True, max_retries=0),
    BedrockConverse(model="anthropic.claude-3-sonnet-20240229-v1:0", client=aws, region_name="us-east-1"),
]
for model in models:
    ask = [ChatMessage(role="user", content="Hello")]
    assert "21 degrees" in str(model.chat(ask))
    assert "21 degrees" in str(list(model.stream_chat(ask))[-1])
print("ok")
