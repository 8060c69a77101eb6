"""Service rules about turns and tools. How to read one: `rule` in `rule.py`."""

from __future__ import annotations

from hapenny.protocols.rules.rule import Rule, rule

TURNS: tuple[Rule, ...] = (
    rule(
        "first_turn", "repair",
        converse="A conversation must start with a user message. Try again with a conversation that starts with a "
                 "user message.",
        invoke='messages: first message must use the "user" role',
        source="github.com/langgenius/dify/issues/12340; anthropic-sdk-typescript/issues/622",
        date="2025-01-03",
    ),
    rule(
        "turns_alternate", "repair",
        converse="A conversation must alternate between user and assistant roles. Make sure the conversation "
                 "alternates between user and assistant roles and try again.",
        source="github.com/langchain-ai/langchain-aws/issues/130",
        date="2024-08-01",
    ),
    rule(
        "empty_turn", "repair",
        messages="{path}: all messages must have non-empty content except for the optional final assistant message",
        converse="The content field in the Message object at {path} is empty. Add a ContentBlock object to the "
                 "content field and try again.",
        source="github.com/archestra-ai/archestra/pull/4220",
        date="2026-04-30", always=True,
    ),
    rule(
        "blank_text", "repair",
        messages="{part}: text content blocks must contain non-whitespace text",
        converse="The text field in the ContentBlock object at {path} is blank. Add text to the text field, and "
                 "try again.",
        source="github.com/NousResearch/hermes-agent/pull/67978; trpc-agent-go/pull/1748",
        date="2026-07-20", always=True,
    ),
    rule(
        "trailing_space", "repair",
        claude="messages: final assistant content cannot end with trailing whitespace",
        source="platform.claude.com/docs (prefill); github.com/BerriAI/litellm",
        date="2024-06-01", always=True,
    ),
    rule(
        "prefill", "repair",
        claude="This model does not support assistant message prefill. The conversation must end with a user message.",
        source="github.com/anomalyco/opencode/issues/29760; NousResearch/hermes-agent/pull/101401",
        date="2026-09-02", always=True,
    ),
    rule(
        "system_prompt", "repair",
        converse="This model doesn't support system messages. Try again without a system message or use a model "
                 "that supports system messages.",
        source="github.com/danny-avila/LibreChat/issues/6456; 567-labs/instructor/issues/1753",
        date="2025-07-29", field="system", always=True,
    ),
    rule(
        "developer_role", "repair",
        openai="Failed to deserialize the JSON body into the target type: {path}: unknown variant `developer`, "
               "expected one of `system`, `user`, `assistant`, `tool`",
        source="github.com/earendil-works/pi/issues/1048; theopenco/llmgateway/pull/3462; vastsa/PI-Desktop/issues/30",
        date="2026-09-02", always=True,
    ),
    rule(
        "reserved_words", "repair",
        claude="x-anthropic-billing-header is a reserved keyword and may not be used in the system prompt.",
        source="github.com/anthropics/claude-code/issues/24168, 25017; anthropics/claude-code-action/issues/928",
        date="2026-02-11", field="system", always=True,
    ),
    rule(
        "mixed_turn", "repair",
        converse="{path}.content: Conversation blocks and {value} blocks cannot be provided in the same turn.",
        source="github.com/browser-use/browser-use/issues/710; quarkiverse/quarkus-langchain4j/issues/1983",
        date="2025-11-28", always=True,
    ),
    rule(
        "tool_history", "repair",
        converse="The toolConfig field must be defined when using toolUse and toolResult content blocks.",
        source="github.com/langgenius/dify/issues/17545; aws-samples/bedrock-access-gateway/pull/239",
        date="2026-04-20", field="tools",
    ),
    rule(
        "tool_pairs", "repair",
        messages="{path}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}. Each "
                 "`tool_use` block must have a corresponding `tool_result` block in the next message.",
        converse="Expected toolResult blocks at {path}.content for the following Ids: {ids}",
        openai="An assistant message with 'tool_calls' must be followed by tool messages responding to each "
               "'tool_call_id'. The following tool_call_ids did not have response messages: {ids}",
        source="AWS and Anthropic, as quoted in github.com/evalstate/fast-agent/pull/668",
        date="2026-02-05",
    ),
    rule(
        "tool_orphans", "repair",
        messages="{path}.content: unexpected `tool_use_id` found in `tool_result` blocks: {ids}. Each "
                 "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
        converse="The number of toolResult blocks at {path}.content exceeds the number of toolUse blocks of "
                 "previous turn.",
        openai="Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
               "'tool_calls'.",
        source="AWS and Anthropic, as quoted in github.com/evalstate/fast-agent/pull/668",
        date="2026-02-05",
    ),
    rule(
        "tool_ids", "repair",
        messages="{path}: String should match pattern '^[a-zA-Z0-9_-]+$'",
        converse="Value '{value}' at '{path}' failed to satisfy constraint: Member must satisfy regular expression "
                 "pattern: [a-zA-Z0-9_.:-]+ and have length less than or equal to 64",
        openai="Invalid '{path}': string too long. Expected a string with maximum length 40, but got a string with "
               "length {length} instead.",
        source="botocore's model; github.com/vercel/ai/pull/13326; agno-agi/agno/issues/5382",
        date="2026-03-10", always=True,
    ),
    rule(
        "tool_ids_of_mistral", "repair",
        model="Tool call id was {value} but must be a-z, A-Z, 0-9, with a length of 9.",
        openai="Tool call id was {value} but must be a-z, A-Z, 0-9, with a length of 9.",
        source="github.com/anomalyco/opencode/pull/48843; vercel/ai/issues/11802",
        date="2026-09-13", always=True,
    ),
    rule(
        "tool_ids_unique", "repair",
        messages="{path}: `tool_use` ids must be unique",
        source="Anthropic's API (constructed after reports of repeated ids)",
        date="2026-01-01",
    ),
    rule(
        "tool_names", "repair",
        messages="{path}: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'",
        converse="Value '{value}' at '{path}' failed to satisfy constraint: Member must satisfy regular expression "
                 "pattern: [a-zA-Z0-9_-]+ and have length less than or equal to 64",
        openai="Invalid '{path}': string does not match pattern. Expected a string that matches the pattern "
               "'^[a-zA-Z0-9_-]{{1,64}}$'.",
        source="botocore's model; github.com/home-assistant/core/issues/147760",
        date="2026-07-17", field="tools", always=True,
    ),
    rule(
        "tool_names_unique", "refuse",
        claude="tools: Tool names must be unique.",
        source="Anthropic's API",
        date="2026-01-01", field="tools",
        fix="give each tool a name of its own",
    ),
    rule(
        "tool_schema", "repair",
        messages="{path}.custom.input_schema.type: Field required",
        converse="The value at {path}.toolSpec.inputSchema.json.type must be one of the following: object.",
        openai="Invalid schema for function '{value}': schema must be a JSON Schema of 'type: \"object\"', got "
               "'type: \"None\"'.",
        source="github.com/maximhq/bifrost/issues/5147; cognitect-labs/aws-api/issues/272",
        date="2026-06-01", field="tools",
    ),
    rule(
        "tool_schema_top", "repair",
        claude="{path}.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
        openai="Invalid schema for function '{value}': schema must have type 'object' and not have "
               "'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.",
        source="github.com/anthropics/claude-code/issues/40075; marianfoo/mcp-sap-docs/pull/51",
        date="2026-05-21", field="tools",
    ),
    rule(
        "property_keys", "repair",
        claude="{path}.custom.input_schema.properties: Property keys should match pattern "
               "'^[a-zA-Z0-9_.-]{{1,64}}$'",
        source="github.com/anthropics/claude-code/issues/79418; decocms/studio/pull/6874; twilio-labs/mcp/issues/58",
        date="2026-09-02", field="tools",
    ),
    rule(
        "array_items", "repair",
        openai="Invalid schema for function '{value}': array schema missing items.",
        source="github.com/digitalocean-labs/mcp-digitalocean/issues/265; mark3labs/mcphost/issues/35; "
               "NousResearch/hermes-agent/pull/54290",
        date="2026-06-28", field="tools",
    ),
    rule(
        "effort_with_tools", "repair",
        openai="Function tools with reasoning_effort are not supported for {value} in /v1/chat/completions. To use "
               "function tools, use /v1/responses or set reasoning_effort to 'none'.",
        source="github.com/openai/openai-openapi/issues/541; BerriAI/litellm/pull/34569; "
               "danny-avila/LibreChat/issues/14355",
        date="2026-09-03", field="reasoning_effort", always=True,
    ),
    rule(
        "tool_choice", "repair",
        messages="tool_choice: this model does not support forced tool use",
        converse="This model doesn't support the toolConfig.toolChoice.{value} field. Remove "
                 "toolConfig.toolChoice.{value} and try again.",
        source="github.com/aws-samples/bedrock-access-gateway/issues/92; langchain-ai/langchain-aws/pull/1274",
        date="2026-09-10", field="tool_choice", always=True,
    ),
    rule(
        "tools_unsupported", "refuse",
        converse="This model doesn't support tool use. Try again without tools or use a model that supports tool use.",
        source="AWS: supported models and features of Converse",
        date="2026-06-01", field="tools",
        fix="leave tools out, or ask for a model that calls tools",
    ),
    rule(
        "tools_in_stream", "repair",
        converse="This model doesn't support tool use in streaming mode.",
        source="github.com/earendil-works/pi/issues/3739; langchain-ai/langchain-aws/pull/466; "
               "obot-platform/obot/issues/4101",
        date="2026-04-26", field="stream",
    ),
    rule(
        "thinking_history", "repair",
        claude="{path}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When "
               "`thinking` is enabled, a final `assistant` message must start with a thinking block.",
        source="platform.claude.com/docs/en/build-with-claude/extended-thinking",
        date="2026-01-01", field="thinking", always=True,
    ),
    rule(
        "thinking_forced", "repair",
        claude="Thinking may not be enabled when tool_choice forces tool use.",
        source="platform.claude.com/docs/en/build-with-claude/extended-thinking",
        date="2026-01-01", field="tool_choice",
    ),
    rule(
        "thinking_alone", "repair",
        model="This model does not support assistant message prefill. The conversation must end with a user message.",
        invoke="This model does not support assistant message prefill. The conversation must end with a user message.",
        source="github.com/NousResearch/hermes-agent/issues/105780",
        date="2026-09-08", always=True,
    ),
    rule(
        "thinking_unsigned", "repair",
        converse="This model doesn't support the reasoningContent.reasoningText.signature field. Remove "
                 "reasoningContent.reasoningText.signature and try again.",
        source="github.com/aws-samples/bedrock-engineer/issues/239",
        date="2025-09-18", always=True,
    ),
    rule(
        "thinking_unsupported", "repair",
        converse="This model doesn't support the reasoningContent field. Remove reasoningContent and try again.",
        source="github.com/earendil-works/pi/pull/1505 (the words: as of the rule above; constructed)",
        date="2026-02-15", always=True,
    ),
)  # fmt: skip
