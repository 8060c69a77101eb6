"""instructor: typed answers by tools and by JSON schema, with both SDKs."""

import sys

import anthropic
import instructor
import openai
from pydantic import BaseModel

url = sys.argv[1]


class Place(BaseModel):
    """A place."""

    city: str


ASK = [{"role": "user", "content": "Where?"}]
gpt = openai.OpenAI(base_url=url + "/v1", api_key="k", max_retries=0)
for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
    client = instructor.from_openai(gpt, mode=mode)
    assert client.chat.completions.create(model="strong", messages=ASK, response_model=Place).city, mode
client = instructor.from_anthropic(anthropic.Anthropic(base_url=url, api_key="k", max_retries=0))
assert client.messages.create(model="strong", max_tokens=100, messages=ASK, response_model=Place).city
print("ok")
