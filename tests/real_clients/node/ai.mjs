// ai with its providers: OpenAI (Responses and chat), Anthropic, Bedrock; text, streams, tools, objects, embeddings.
import assert from "node:assert";
import { createAmazonBedrock } from "@ai-sdk/amazon-bedrock";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { embedMany, generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const url = process.argv[2];
const openai = createOpenAI({ baseURL: url + "/v1", apiKey: "k" });
const anthropic = createAnthropic({ baseURL: url + "/v1", apiKey: "k" });
const bedrock = createAmazonBedrock({ baseURL: url, region: "us-east-1", accessKeyId: "AKIATEST", secretAccessKey: "s" });
const models = {
  responses: openai("strong"), chat: openai.chat("strong"), anthropic: anthropic("strong"),
  bedrock: bedrock("anthropic.claude-3-sonnet-20240229-v1:0"),
};
const tools = {
  get_weather: tool({ description: "d", inputSchema: z.object({ city: z.string() }), execute: async () => "21" }),
};
for (const [name, model] of Object.entries(models)) {
  const common = { model, maxRetries: 0 };
  assert((await generateText({ ...common, prompt: "Hello" })).text.includes("21 degrees"), name);
  let text = "";
  for await (const piece of streamText({ ...common, prompt: "Hello" }).textStream) text += piece;
  assert(text.includes("21 degrees"), name);
  const done = await generateText({ ...common, prompt: "What is the weather?", tools, stopWhen: stepCountIs(3) });
  assert(done.text.includes("21 degrees") && done.steps.length === 2, name);
  const { object } = await generateObject({ ...common, prompt: "Where?", schema: z.object({ city: z.string() }) });
  assert(object.city, name);
}
const { embeddings } = await embedMany({
  model: openai.textEmbeddingModel("amazon.titan-embed-text-v2:0"), values: ["a", "b"], maxRetries: 0,
});
assert.deepEqual(embeddings, [[0.25, 0.5], [0.25, 0.5]]);
console.log("ok");
