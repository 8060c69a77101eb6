"""Service rules about documents, images, parameters, the prompt cache, and Anthropic's dialect at Bedrock. How to read
one: `rule` in `rule.py`."""

from __future__ import annotations

from hapenny.protocols.rules.rule import Rule, rule

CONTENT: tuple[Rule, ...] = (
    rule(
        "document_names", "repair",
        converse="Messages can't contain duplicate document names.",
        source="github.com/aws-samples/generative-ai-use-cases/issues/1685",
        date="2026-08-25",
    ),
    rule(
        "document_count", "refuse",
        converse="You can't include more than 5 documents in a request.",
        source="github.com/aws-samples/generative-ai-use-cases/issues/1685; "
               "docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html",
        date="2026-08-25",
        fix="send at most 5 documents, or their text",
    ),
    rule(
        "image_count", "refuse",
        model="messages: too many images: image_count > {limit}",
        source="docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html; "
               "github.com/boto/boto3/issues/4632",
        date="2026-06-01",
        fix="send fewer images",
    ),
    rule(
        "document_text", "repair",
        converse="A text block must be included when using documents.",
        source="github.com/maximhq/bifrost/pull/5817; BerriAI/litellm/pull/36499",
        date="2026-08-04",
    ),
    rule(
        "document_source", "repair",
        converse="Document source type text requires citations to be enabled.",
        source="github.com/strands-agents/harness-sdk/pull/3582; maximhq/bifrost/issues/7072",
        date="2026-07-31",
    ),
    rule(
        "image_media", "repair",
        messages="{path}.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or "
                 "'image/webp'",
        model="{path}.image.source.base64.data: The image was specified using the {value} media type, but the "
              "image appears to be a {other} image",
        source="github.com/lobehub/lobehub/issues/3001; Anthropic's API",
        date="2024-06-23", always=True,
    ),
    rule(
        "image_by_url", "refuse",
        invoke="{path}.image.source: url sources are not supported on this platform",
        source="github.com/pollinations/pollinations/issues/5862; mozilla-ai/any-llm/pull/751",
        date="2026-01-20",
        fix="send the image's bytes: Bedrock fetches nothing from the web",
    ),
    rule(
        "media_at_s3", "refuse",
        model="messages.0.content.0.{value}.source.type: Field required",
        source="github.com/strands-agents/harness-sdk/pull/3610",
        date="2026-08-03",
        fix="send its bytes: of Bedrock's models only Nova reads from S3",
    ),
    rule(
        "image_in_tool_result", "repair",
        openai="Invalid '{path}'. Image URLs are only allowed for messages with role 'user', but this message with "
               "role 'tool' contains an image URL.",
        source="github.com/BerriAI/litellm/issues/20403",
        date="2026-02-01",
    ),
    rule(
        "failed_result_empty", "repair",
        converse="The content field at {path}.toolResult cannot be empty when status value is error.",
        messages="{path}.tool_result: content cannot be empty if `is_error` is true",
        source="github.com/aws-samples/sample-multi-agent-orchestration-chat-on-agentcore/issues/15",
        date="2026-06-01", always=True,
    ),
    rule(
        "result_json", "repair",
        converse="The format of the value at {path} is invalid. Provide a json object for the field and try again.",
        source="github.com/aws/aws-sdk-js-v3/issues/7330; maximhq/bifrost/pull/1330",
        date="2026-01-14", always=True,
    ),
    rule(
        "stop_blank", "repair",
        claude="stop_sequences: each stop sequence must contain non-whitespace",
        source="github.com/BerriAI/litellm/issues/3286",
        date="2024-04-25", field="stop", always=True,
    ),
    rule(
        "stop_count", "repair",
        converse="Malformed input request: #/inferenceConfig/stopSequences: expected maximum item count: {limit}, "
                 "found: {length}, please reformat your input and try again.",
        openai="Invalid 'stop': array too long. Expected an array with maximum length {limit}, but got an array "
               "with length {length} instead.",
        source="platform.openai.com/docs/api-reference/chat/create; Amazon Nova's request schema",
        date="2026-11-20", field="stop", always=True,
    ),
    rule(
        "stop_unsupported", "repair",
        converse="This model doesn't support the stopSequences field. Remove stopSequences and try again.",
        openai="Unsupported parameter: 'stop' is not supported with this model.",
        source="github.com/crewAIInc/crewAI/issues/3317; langgenius/dify-official-plugins/issues/1767; "
               "huggingface/smolagents/issues/1893",
        date="2026-03-27", field="stop", always=True,
    ),
    rule(
        "user_id", "repair",
        messages="metadata.user_id: String should have at most 256 characters",
        openai="Invalid 'user': string too long. Expected a string with maximum length 64, but got a string with "
               "length {length} instead.",
        source="github.com/looplj/axonhub/issues/1669; maximhq/bifrost/issues/1000; Anthropic's API",
        date="2026-03-01", field="user",
    ),
    rule(
        "schema_open", "repair",
        claude="output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to "
               "false",
        source="platform.claude.com/docs/en/build-with-claude/structured-outputs; "
               "github.com/BerriAI/litellm/issues/35808",
        date="2026-10-18", field="response_format",
    ),
    rule(
        "schema_keyword", "repair",
        claude="output_config.format.schema: For '{type}' type, property '{value}' is not supported",
        source="platform.claude.com/docs/en/build-with-claude/structured-outputs",
        date="2026-10-18", field="response_format",
    ),
    rule(
        "schema_unsupported", "repair",
        messages="'{value}' does not support output format.",
        converse="This model doesn't support the outputConfig.textFormat field. Remove outputConfig.textFormat and "
                 "try again.",
        source="platform.claude.com/docs/en/build-with-claude/structured-outputs (models)",
        date="2026-10-18", field="response_format", always=True,
    ),
    rule(
        "cache_unsupported", "repair",
        converse="You invoked an unsupported model or your request did not allow prompt caching. See the "
                 "documentation for more information.",
        invoke="You invoked an unsupported model or your request did not allow prompt caching. See the "
               "documentation for more information.",
        source="github.com/BerriAI/litellm/pull/39210",
        date="2026-09-01", field="cache_control", always=True, status=403,
    ),
    rule(
        "cache_place", "repair",
        converse="Malformed input request: #/toolConfig/tools/{value}: extraneous key [cachePoint] is not "
                 "permitted, please reformat your input and try again.",
        source="github.com/danny-avila/LibreChat/issues/13838; NousResearch/hermes-agent/pull/97289",
        date="2026-08-28", field="tools", always=True,
    ),
    rule(
        "cache_behind", "repair",
        converse="Malformed input request: #/messages/{value}: extraneous key [cachePoint] is not permitted, please "
                 "reformat your input and try again.",
        source="calls of us.amazon.nova-2-lite-v1:0 reported in public (vombor/kanban, docs/upstream)",
        date="2026-10-07", field="messages", always=True,
    ),
    rule(
        "cache_count", "repair",
        claude="A maximum of 4 blocks with cache_control may be provided. Found {value}.",
        source="docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html; Wei-Shaw/sub2api/issues/176",
        date="2026-09-01", field="cache_control",
    ),
    rule(
        "cache_order", "repair",
        claude="a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that "
               "blocks are processed in the following order: `tools`, `system`, `messages`.",
        source="platform.claude.com/docs/en/build-with-claude/prompt-caching",
        date="2026-09-01", field="cache_control",
    ),
    rule(
        "beta", "repair",
        invoke="invalid beta flag",
        source="github.com/BerriAI/litellm: anthropic_beta_headers_config.json",
        date="2026-09-20", field="anthropic-beta",
    ),
    rule(
        "extra_field", "repair",
        invoke="{path}: Extra inputs are not permitted",
        source="github.com/anthropics/claude-code/issues/49548, 31033, 32820",
        date="2026-04-16", field="body",
    ),
    rule(
        "server_tool", "refuse",
        invoke="{path}: Input tag '{value}' found using 'type' does not match any of the expected tags",
        source="docs.aws.amazon.com/bedrock: Anthropic Claude tool use",
        date="2026-09-20", field="tools",
        fix="leave the tool out: Bedrock does not run it, or ask for a model at Anthropic",
    ),
    rule(
        "service_tier", "repair",
        converse="The provided service tier is not supported for this model.",
        source="github.com/maximhq/bifrost/pull/7270; openai/codex/pull/25318",
        date="2026-09-17", field="service_tier",
    ),
)  # fmt: skip
