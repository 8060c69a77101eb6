// @aws-sdk/client-bedrock-runtime over HTTP/1.1: Converse and its stream.
import assert from "node:assert";
import { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand } from "@aws-sdk/client-bedrock-runtime";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const client = new BedrockRuntimeClient({
  region: "us-east-1", endpoint: process.argv[2], maxAttempts: 1, requestHandler: new NodeHttpHandler(),
  credentials: { accessKeyId: "AKIATEST", secretAccessKey: "s" },
});
const ask = { modelId: "strong", messages: [{ role: "user", content: [{ text: "Hello" }] }] };
const done = await client.send(new ConverseCommand(ask));
assert(done.output.message.content[0].text.includes("21 degrees"));
let text = "";
for await (const event of (await client.send(new ConverseStreamCommand(ask))).stream)
  text += event.contentBlockDelta?.delta?.text ?? "";
assert(text.includes("21 degrees"));
console.log("ok");
