"""openai: chat, tools, streams, embeddings, models; Responses and completions where the SDK has them."""

import json
import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="k", max_retries=0)
ASK = [{"role": "user", "content": "Hello"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": PARAMETERS}}

done = client.chat.completions.create(model="strong", messages=ASK)
assert "21 degrees" in done.choices[0].message.content
assert done.usage.total_tokens == 30
stream = client.chat.completions.create(
    model="strong", messages=ASK, stream=True, stream_options={"include_usage": True}
)
chunks = list(stream)
text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
assert "21 degrees" in text
assert chunks[-1].usage.total_tokens == 30

messages = [{"role": "user", "content": "What is the weather?"}]
turn = client.chat.completions.create(model="strong", messages=messages, tools=[TOOL]).choices[0].message
assert json.loads(turn.tool_calls[0].function.arguments)["city"]
result = {"role": "tool", "tool_call_id": turn.tool_calls[0].id, "content": "21"}
done = client.chat.completions.create(model="strong", messages=[*messages, turn, result], tools=[TOOL])
assert "21 degrees" in done.choices[0].message.content

for size in (1, 3):
    rows = client.embeddings.create(model="amazon.titan-embed-text-v2:0", input=["a"] * size)
    assert [list(row.embedding) for row in rows.data] == [[0.25, 0.5]] * size
rows = client.embeddings.create(model="amazon.titan-embed-text-v2:0", input="a", encoding_format="float")
assert rows.data[0].embedding == [0.25, 0.5]
assert client.completions.create(model="strong", prompt="Once", max_tokens=50).choices[0].text
assert any(model.id == "strong" for model in client.models.list())
assert client.models.retrieve("strong").id == "strong"
try:
    client.chat.completions.create(model="strong", messages=[])
except openai.BadRequestError as error:
    assert error.param == "messages"
else:
    raise AssertionError("an empty conversation was taken")

if hasattr(client, "responses"):
    done = client.responses.create(model="strong", input="Hello", instructions="Be brief.")
    assert "21 degrees" in done.output_text
    assert done.status == "completed"
    function = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": False}
    with client.responses.stream(model="strong", input="What is the weather?", tools=[function]) as stream:
        kinds = [event.type for event in stream]
        first = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    call = next(item for item in first.output if item.type == "function_call")
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "21"}
    done = client.responses.create(model="strong", input=[*messages, *first.output, output], tools=[function])
    assert "21 degrees" in done.output_text
    schema = {**PARAMETERS, "additionalProperties": False}
    form = {"format": {"type": "json_schema", "name": "place", "schema": schema, "strict": True}}
    assert "city" in json.loads(client.responses.create(model="strong", input="Where?", text=form).output_text)
print("ok", openai.__version__)
