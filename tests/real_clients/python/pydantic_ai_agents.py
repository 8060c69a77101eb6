"""pydantic-ai: a tool loop and a typed answer, by chat completions, Responses, Anthropic and Bedrock."""

import sys

import anthropic
import boto3
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.bedrock import BedrockConverseModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.bedrock import BedrockProvider
from pydantic_ai.providers.openai import OpenAIProvider

url = sys.argv[1]
aws = boto3.client(
    "bedrock-runtime",
    region_name="us-east-1",
    endpoint_url=url,
    aws_access_key_id="AKIATEST",
    aws_secret_access_key="s",
)


class Place(BaseModel):
    """A place."""

    city: str


claude = anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0)
openai = OpenAIProvider(base_url=url + "/v1", api_key="k")
models = {
    "chat": OpenAIChatModel("strong", provider=openai),
    "responses": OpenAIResponsesModel("strong", provider=openai),
    "anthropic": AnthropicModel("claude-3-sonnet", provider=AnthropicProvider(anthropic_client=claude)),
    "bedrock": BedrockConverseModel(
        "anthropic.claude-3-sonnet-20240229-v1:0", provider=BedrockProvider(bedrock_client=aws)
    ),
}
for name, model in models.items():
    agent = Agent(model)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return "21"

    assert "21 degrees" in agent.run_sync("What is the weather?").output, name
    assert Agent(model, output_type=Place).run_sync("Where?").output.city, name
print("ok")
