// @aws-sdk/client-bedrock-runtime: Converse and its stream, over HTTP/1.1 and over HTTP/2, its default for streams.
import assert from "node:assert";
import { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand } from "@aws-sdk/client-bedrock-runtime";
import { NodeHttpHandler, NodeHttp2Handler } from "@smithy/node-http-handler";

const ask = { modelId: "strong", messages: [{ role: "user", content: [{ text: "Hello" }] }] };
for (const requestHandler of [new NodeHttpHandler(), new NodeHttp2Handler()]) {
  const client = new BedrockRuntimeClient({
    region: "us-east-1", endpoint: process.argv[2], maxAttempts: 1, requestHandler,
    credentials: { accessKeyId: "AKIATEST", secretAccessKey: "s" },
  });
  const done = await client.send(new ConverseCommand(ask));
  assert(done.output.message.content[0].text.includes("21 degrees"));
  let text = "";
  for await (const event of (await client.send(new ConverseStreamCommand(ask))).stream)
    text += event.contentBlockDelta?.delta?.text ?? "";
  assert(text.includes("21 degrees"));
  client.destroy();
}
console.log("ok");
