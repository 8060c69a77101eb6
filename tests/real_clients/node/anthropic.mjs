// @anthropic-ai/sdk: messages, streams, tools, counts.
import assert from "node:assert";
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.argv[2], apiKey: "k", maxRetries: 0 });
const ask = { model: "strong", max_tokens: 100, messages: [{ role: "user", content: "Hello" }] };
assert((await client.messages.create(ask)).content[0].text.includes("21 degrees"));
assert((await client.messages.stream(ask).finalText()).includes("21 degrees"));
const tools = [{ name: "get_weather", input_schema: { type: "object", properties: { city: { type: "string" } } } }];
const messages = [{ role: "user", content: "What is the weather?" }];
const turn = await client.messages.stream({ ...ask, messages, tools }).finalMessage();
const call = turn.content.find((block) => block.type === "tool_use");
const result = { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "21" }] };
const done = await client.messages.create({
  ...ask, tools, messages: [...messages, { role: "assistant", content: turn.content }, result],
});
assert(done.content[0].text.includes("21 degrees"));
assert((await client.messages.countTokens({ model: "strong", messages })).input_tokens > 0);
console.log("ok");
