// openai: chat, Responses (whole and streamed, tools), embeddings.
import assert from "node:assert";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "k", maxRetries: 0 });
const messages = [{ role: "user", content: "Hello" }];
const done = await client.chat.completions.create({ model: "strong", messages });
assert(done.choices[0].message.content.includes("21 degrees"));
let text = "";
for await (const chunk of await client.chat.completions.create({ model: "strong", messages, stream: true }))
  text += chunk.choices[0]?.delta?.content ?? "";
assert(text.includes("21 degrees"));

const tools = [{
  type: "function", name: "get_weather", strict: false,
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
}];
const ask = [{ role: "user", content: "What is the weather?" }];
const stream = client.responses.stream({ model: "strong", input: ask, tools });
const kinds = [];
for await (const event of stream) kinds.push(event.type);
const first = await stream.finalResponse();
assert.equal(kinds[0], "response.created");
assert.equal(kinds.at(-1), "response.completed");
const call = first.output.find((item) => item.type === "function_call");
assert(JSON.parse(call.arguments).city);
const input = [...ask, ...first.output, { type: "function_call_output", call_id: call.call_id, output: "21" }];
assert((await client.responses.create({ model: "strong", input, tools })).output_text.includes("21 degrees"));

const rows = await client.embeddings.create({ model: "amazon.titan-embed-text-v2:0", input: ["a", "b"] });
assert.deepEqual(rows.data.map((row) => row.embedding), [[0.25, 0.5], [0.25, 0.5]]);
console.log("ok");
