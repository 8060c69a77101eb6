"""anthropic: messages, streams, tools, counts, models."""

import sys

import anthropic

client = anthropic.Anthropic(base_url=sys.argv[1], api_key="k", max_retries=0)
ASK = [{"role": "user", "content": "Hello"}]
TOOL = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

done = client.messages.create(model="strong", max_tokens=50, messages=ASK)
assert "21 degrees" in done.content[0].text
assert (done.stop_reason, done.usage.output_tokens) == ("end_turn", 10)
with client.messages.stream(model="strong", max_tokens=50, messages=ASK) as stream:
    assert "21 degrees" in "".join(stream.text_stream)
    assert stream.get_final_message().usage.output_tokens == 10
messages = [{"role": "user", "content": "What is the weather?"}]
with client.messages.stream(model="strong", max_tokens=50, messages=messages, tools=[TOOL]) as stream:
    turn = stream.get_final_message()
call = next(block for block in turn.content if block.type == "tool_use")
assert call.input["city"]
result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "21"}]}
done = client.messages.create(
    model="strong",
    max_tokens=50,
    tools=[TOOL],
    messages=[*messages, {"role": "assistant", "content": turn.content}, result],
)
assert "21 degrees" in done.content[0].text
counter = client.messages if hasattr(client.messages, "count_tokens") else client.beta.messages
assert counter.count_tokens(model="strong", messages=ASK).input_tokens > 0
try:
    client.messages.create(model="strong", max_tokens=50, messages=[])
except anthropic.BadRequestError:
    pass
else:
    raise AssertionError("an empty conversation was taken")
print("ok", anthropic.__version__)
