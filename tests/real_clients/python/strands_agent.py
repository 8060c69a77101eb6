"""strands-agents: a tool loop by Bedrock, OpenAI and Anthropic."""

import os
import sys

from strands import Agent, tool
from strands.models import BedrockModel
from strands.models.anthropic import AnthropicModel
from strands.models.openai import OpenAIModel

url = sys.argv[1]
os.environ |= {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "s"}


@tool
def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: which.
    """
    return "21"


models = [
    BedrockModel(model_id="anthropic.claude-3-sonnet-20240229-v1:0", endpoint_url=url, region_name="us-east-1"),
    OpenAIModel(client_args={"base_url": url + "/v1", "api_key": "k"}, model_id="strong"),
    AnthropicModel(client_args={"base_url": url, "api_key": "k"}, model_id="strong", max_tokens=100),
]
for model in models:
    agent = Agent(model=model, tools=[get_weather], callback_handler=None)
    assert "21 degrees" in str(agent("What is the weather?")), type(model)
print("ok")
