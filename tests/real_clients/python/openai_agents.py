"""openai-agents: a tool loop, by Responses (its default) and by chat completions, whole and streamed."""

import asyncio
import sys

import openai
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled

set_tracing_disabled(True)
client = openai.AsyncOpenAI(base_url=sys.argv[1] + "/v1", api_key="k", max_retries=0)


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return "21"


async def main() -> None:
    for kind in (OpenAIResponsesModel, OpenAIChatCompletionsModel):
        model = kind(model="strong", openai_client=client)
        agent = Agent(name="a", instructions="Be brief.", model=model, tools=[get_weather])
        done = await Runner.run(agent, "What is the weather?")
        assert "21 degrees" in done.final_output, kind
        assert len(done.raw_responses) == 2, kind
        streamed = Runner.run_streamed(agent, "What is the weather?")
        kinds = [event.type async for event in streamed.stream_events()]
        assert "raw_response_event" in kinds
        assert "21 degrees" in streamed.final_output, kind


asyncio.run(main())
print("ok")
