"""strands-agents: a tool loop by Bedrock, OpenAI and Anthropic, and our routing decision as a tool of an agent."""

import json
import os
import sys
import urllib.request

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


chosen = []


@tool
def choose_model(task: str) -> dict:
    """Say which tier of model a sub-task deserves.

    Args:
        task: the sub-task in full.
    """
    body = json.dumps({"text": task}).encode()
    request = urllib.request.Request(url + "/v1/select", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        chosen.append(json.load(answer))
    return {"status": "success", "content": [{"text": f"{chosen[-1]['tier']}: {chosen[-1]['why']}"}]}


models = [
    BedrockModel(model_id="anthropic.claude-3-sonnet-20240229-v1:0", endpoint_url=url, region_name="us-east-1"),
    OpenAIModel(client_args={"base_url": url + "/v1", "api_key": "k"}, model_id="strong"),
    AnthropicModel(client_args={"base_url": url, "api_key": "k"}, model_id="strong", max_tokens=100),
]
for model in models:
    agent = Agent(model=model, tools=[get_weather], callback_handler=None)
    assert "21 degrees" in str(agent("What is the weather?")), type(model)
for model in models:
    agent = Agent(model=model, tools=[choose_model], callback_handler=None)
    assert "21 degrees" in str(agent("Who should write about the weather?")), type(model)
assert len(chosen) == len(models), chosen
assert all(one["tier"] and one["why"] for one in chosen), chosen
print("ok")
