# ruff: noqa: E501
"""langchain-openai (chat and Responses), langchain-anthropic, langchain-aws: answers, streams, tools, structured output."""

import sys

import boto3
from langchain_anthropic import ChatAnthropic
from langchain_aws import ChatBedrockConverse
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

url = sys.argv[1]


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return "21"


class Place(BaseModel):
    """A place."""

    city: str


aws = boto3.client(
    "bedrock-runtime",
    region_name="us-east-1",
    endpoint_url=url,
    aws_access_key_id="AKIATEST",
    aws_secret_access_key="s",
)
models = {
    "openai": ChatOpenAI(model="strong", base_url=url + "/v1", api_key="k", max_retries=0),
    "responses": ChatOpenAI(model="strong", base_url=url + "/v1", api_key="k", max_retries=0, use_responses_api=True),
    "anthropic": ChatAnthropic(model="strong", base_url=url, api_key="k", max_retries=0, max_tokens=100),
    "aws": ChatBedrockConverse(model="anthropic.claude-3-sonnet-20240229-v1:0", client=aws),
}
for name, model in models.items():
    assert "21 degrees" in model.invoke("Hello").text, name
    assert "21 degrees" in "".join(chunk.text for chunk in model.stream("Hello")), name
    ask = [HumanMessage("What is the weather?")]
    turn = model.bind_tools([get_weather]).invoke(ask)
    (call,) = turn.tool_calls
    assert call["args"]["city"], name
    result = ToolMessage("21", tool_call_id=call["id"])
    assert "21 degrees" in model.bind_tools([get_weather]).invoke([*ask, turn, result]).text, name
    assert model.with_structured_output(Place).invoke("Where?").city, name
vectors = OpenAIEmbeddings(
    model="amazon.titan-embed-text-v2:0", base_url=url + "/v1", api_key="k", check_embedding_ctx_length=False
)
assert vectors.embed_documents(["a", "b"]) == [[0.25, 0.5]] * 2
print("ok")
