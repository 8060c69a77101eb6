# ruff: noqa: E501
"""Error answers of providers, as they were recorded. Each row names where: an issue of a public project
(owner/name#number) or the provider's own pages; names and numbers of accounts are shortened.

Columns: source, dialect, status, headers, body, kind."""

from __future__ import annotations

from typing import Any

TYPE = "x-amzn-errortype"
ACCOUNT = "provider_account"
Row = tuple[str, str, int, dict[str, str], Any, str]


def _anthropic(type_: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_011"}


def _openai(message: str, type_: str | None, code: str | None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def _bare(message: str, code: Any = 400, type_: str = "BadRequestError") -> dict[str, Any]:
    return {"object": "error", "message": message, "type": type_, "param": None, "code": code}


_AWS = "AWS, Bedrock user guide, Troubleshooting API error codes"
_QUOTA = "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
_KEY = {
    "error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
            },
            {
                "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
                "locale": "en-US",
                "message": "API key not valid. Please pass a valid API key.",
            },
        ],
    }
}


def _gemini(*quotas: str, delay: str | None = None, message: str = _QUOTA) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = [
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [
                {
                    "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
                    "quotaId": quota,
                }
                for quota in quotas
            ],
        },
        {
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [
                {
                    "description": "Learn more about Gemini API quotas",
                    "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
                }
            ],
        },
    ]
    if delay:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return [{"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}}]


RECORDED: list[Row] = [
    # -- Bedrock
    ("anthropics/claude-code#236", "bedrock", 429, {TYPE: "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/"}, {"message": "Too many tokens, please wait before trying again."}, "rate_limited"),
    (_AWS, "bedrock", 429, {TYPE: "ThrottlingException"}, {"message": "Too many requests, please wait before trying again."}, "rate_limited"),
    ("strands-agents/agent-builder#31", "bedrock", 429, {}, {"message": "Too many tokens, please wait before trying again."}, "rate_limited"),
    ("anthropics/claude-code#236", "bedrock", 400, {}, {"message": "Too many tokens, please wait before trying again."}, "rate_limited"),
    ("minorun365/agent-book#29", "bedrock", 429, {TYPE: "ThrottlingException"}, {"message": "Too many tokens per day, please wait before trying again."}, ACCOUNT),
    ("continuedev/continue#6005", "bedrock", 400, {TYPE: "ValidationException"}, {"message": "Input is too long for requested model."}, "context_overflow"),
    ("anthropics/claude-code#66799", "bedrock", 400, {TYPE: "ValidationException"}, {"message": "The model returned the following errors: prompt is too long: 210000 tokens > 200000 maximum"}, "context_overflow"),
    (_AWS, "bedrock", 400, {TYPE: "ValidationException"}, {"message": "The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum length."}, "context_overflow"),
    (_AWS, "bedrock", 400, {TYPE: "ValidationException"}, {"message": "The model returned the following errors: temperature: range: 0..1"}, "invalid_request"),
    ("anthropics/claude-code#1466", "bedrock", 400, {TYPE: "ValidationException"}, {"message": "Invocation of model ID x with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model."}, "invalid_request"),
    ("continuedev/continue#10120", "openai", 403, {}, {"error": {"message": "Project `proj_1` does not have access to model `gpt-4.1-2025-04-14`", "type": "invalid_request_error", "param": None, "code": "model_not_found"}}, ACCOUNT),
    ("anthropics/claude-code#2260", "bedrock", 403, {TYPE: "UnrecognizedClientException"}, {"message": "The security token included in the request is invalid."}, ACCOUNT),
    ("AWS, Common errors", "bedrock", 403, {TYPE: "ExpiredTokenException"}, {"message": "The security token included in the request is expired"}, ACCOUNT),
    ("dirkpetersen/our-chat#3", "bedrock", 403, {TYPE: "AccessDeniedException"}, {"message": "You don't have access to the model with the specified model ID."}, ACCOUNT),
    ("aws-samples/anthropic-on-aws#252", "bedrock", 403, {TYPE: "AccessDeniedException"}, {"message": "Model access is denied due to IAM user or service role is not authorized to perform the required AWS Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this model."}, ACCOUNT),
    ("Tracer-Cloud/opensre#1812", "bedrock", 403, {TYPE: "AccessDeniedException"}, {"message": "Model access is denied due to INVALID_PAYMENT_INSTRUMENT:A valid payment instrument must be provided.. Your AWS Marketplace subscription for this model cannot be completed at this time."}, ACCOUNT),
    ("aws/aws-cli#8717", "bedrock", 400, {TYPE: "ValidationException"}, {"message": "Operation not allowed"}, ACCOUNT),
    (_AWS, "bedrock", 400, {TYPE: "ServiceQuotaExceededException"}, {"message": "Your request exceeds the service quota for your account."}, ACCOUNT),
    (_AWS, "bedrock", 404, {TYPE: "ResourceNotFoundException"}, {"message": "Could not resolve the foundation model from the provided model identifier."}, "not_found"),
    (_AWS, "bedrock", 408, {TYPE: "ModelTimeoutException"}, {"message": "Model has timed out in processing the request."}, "timeout"),
    (_AWS, "bedrock", 424, {TYPE: "ModelErrorException"}, {"message": "The system encountered an unexpected error during processing."}, "model_error"),
    (_AWS, "bedrock", 429, {TYPE: "ModelNotReadyException"}, {"message": "The model specified in the request is not ready to serve inference requests."}, "unavailable"),
    (_AWS, "bedrock", 503, {TYPE: "ServiceUnavailableException"}, {"message": "Too many connections, please wait before trying again."}, "overloaded"),
    (_AWS, "bedrock", 500, {TYPE: "InternalServerException"}, {"message": "The system encountered an unexpected error."}, "upstream"),
    ("AWS, Common errors", "bedrock", 400, {}, {"__type": "com.amazon.coral.service#ThrottlingException", "message": "Rate exceeded"}, "rate_limited"),
    ("anthropics/claude-code#236", "invoke", 429, {TYPE: "ThrottlingException"}, {"message": "Too many tokens, please wait before trying again."}, "rate_limited"),
    # -- Anthropic
    ("anthropics/claude-code#66799", "anthropic", 400, {}, _anthropic("invalid_request_error", "prompt is too long: 1036683 tokens > 1000000 maximum"), "context_overflow"),
    ("anthropics/claude-code#6368", "anthropic", 413, {}, _anthropic("invalid_request_error", "Request size exceeds model context window"), "context_overflow"),
    ("Anthropic, API reference Errors", "anthropic", 400, {}, _anthropic("invalid_request_error", "max_tokens: Field required"), "invalid_request"),
    ("anthropics/claude-code#66314", "anthropic", 400, {}, _anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."), ACCOUNT),
    ("anthropics/claude-code#38035", "anthropic", 400, {}, _anthropic("invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2026-04-01 at 00:00 UTC."), ACCOUNT),
    ("anthropics/claude-code#9384", "anthropic", 400, {}, _anthropic("invalid_request_error", "This organization has been disabled."), ACCOUNT),
    ("Anthropic, API reference Errors", "anthropic", 401, {}, _anthropic("authentication_error", "invalid x-api-key"), ACCOUNT),
    ("Anthropic, API reference Errors", "anthropic", 402, {}, _anthropic("billing_error", "There is an issue with your billing or payment information."), ACCOUNT),
    ("Anthropic, API reference Errors", "anthropic", 403, {}, _anthropic("permission_error", "Your API key does not have permission to use the specified resource."), ACCOUNT),
    ("anthropics/claude-code#3335", "anthropic", 413, {}, {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}, "too_large"),
    ("anthropics/claude-code#71670", "anthropic", 429, {"retry-after": "7"}, _anthropic("rate_limit_error", "This request would exceed your account's rate limit. Please try again later."), "rate_limited"),
    ("anthropics/claude-code#3555", "anthropic", 529, {}, _anthropic("overloaded_error", "Overloaded"), "overloaded"),
    ("Anthropic, API reference Errors", "anthropic", 500, {}, _anthropic("api_error", "Internal server error"), "upstream"),
    ("Anthropic, API reference Errors", "anthropic", 504, {}, _anthropic("timeout_error", "The request timed out while processing."), "timeout"),
    ("Anthropic, API reference Errors", "anthropic", 404, {}, _anthropic("not_found_error", "model: claude-x"), "not_found"),
    # -- OpenAI and Azure
    ("langchain-ai/langchain#11001", "openai", 400, {}, _openai("This model's maximum context length is 4097 tokens, however you requested 4226 tokens. Please reduce the length of the messages.", "invalid_request_error", "context_length_exceeded", "messages"), "context_overflow"),
    ("OpenAI, guide Error codes", "openai", 400, {}, _openai("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "invalid_request_error", "unsupported_parameter", "max_tokens"), "invalid_request"),
    ("BerriAI/litellm#17904", "openai", 400, {}, _openai("Invalid 'user': string too long. Expected a string with maximum length 64, but got a string with length 154 instead.", "invalid_request_error", "string_above_max_length", "user"), "invalid_request"),
    ("OpenAI, guide Error codes", "openai", 401, {}, _openai("Incorrect API key provided: sk-pr*****abcd. You can find your API key at https://platform.openai.com/account/api-keys.", "invalid_request_error", "invalid_api_key"), ACCOUNT),
    ("aandrew-me/tgpt#171", "openai", 401, {}, _openai("Your OpenAI account has been deactivated, please check your email for more information. If you feel this is an error, contact us through our help center at help.openai.com.", "requests", None), ACCOUNT),
    ("ChatGPTNextWeb/NextChat#3664", "openai", 429, {}, _openai("You exceeded your current quota, please check your plan and billing details. For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.", "insufficient_quota", "insufficient_quota"), ACCOUNT),
    ("lifan0127/ai-research-assistant#174", "openai", 429, {}, _openai("Your account is not active, please check your billing details on our website.", "billing_not_active", "billing_not_active"), ACCOUNT),
    ("yufeikang/raycast_api_proxy#43", "openai", 403, {}, {"error": {"code": "unsupported_country_region_territory", "message": "Country, region, or territory not supported", "param": None, "type": "request_forbidden"}}, ACCOUNT),
    ("Pythagora-io/gpt-pilot#17", "openai", 429, {}, _openai("Rate limit reached for 10KTPM-200RPM in organization org-X on tokens per min. Limit: 10000 / min. Please try again in 6ms.", "tokens", "rate_limit_exceeded"), "rate_limited"),
    ("TheR1D/shell_gpt#653", "openai", 429, {}, _openai("Request too large for gpt-4o in organization org-X on tokens per min (TPM): Limit 30000, Requested 31538. The input or output tokens must be reduced in order to run successfully.", "tokens", "rate_limit_exceeded"), "too_large"),
    ("OpenAI, guide Error codes", "openai", 404, {}, _openai("The model `x` does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"), "not_found"),
    ("compl-ai/compl-ai#20", "openai", 400, {}, {"error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry.", "type": None, "param": "prompt", "code": "content_filter", "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"violence": {"filtered": True, "severity": "medium"}}}}}, "invalid_request"),
    ("vanderschaarlab/climb#1", "openai", 429, {"retry-after": "86400"}, {"error": {"code": "429", "message": "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-08-01-preview have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 86400 seconds."}}, "rate_limited"),
    ("chatboxai/chatbox#646", "openai", 404, {}, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}, "not_found"),
    # -- Gemini's OpenAI-compatible endpoint
    ("zeroclaw-labs/zeroclaw#194", "openai", 400, {}, [_KEY], ACCOUNT),
    ("google-gemini/gemini-cli#24641", "openai", 400, {}, [{"error": {"code": 400, "message": "User location is not supported for the API use.", "status": "FAILED_PRECONDITION"}}], ACCOUNT),
    ("langgenius/dify#19838", "openai", 429, {}, _gemini("GenerateRequestsPerDayPerProjectPerModel"), ACCOUNT),
    ("google-gemini/gemini-cli#8437", "openai", 429, {}, _gemini("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", delay="37s"), "rate_limited"),
    ("continuedev/continue#9570", "openai", 429, {}, _gemini(delay="45s", message=f"{_QUOTA} \n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 0, model: gemini-3-pro\nPlease retry in 45.578569677s."), ACCOUNT),
    ("google-gemini/gemini-cli#1609", "openai", 429, {}, _openai('{\n  "error": {\n    "code": 429,\n    "message": "Resource has been exhausted (e.g. check quota).",\n    "status": "RESOURCE_EXHAUSTED"\n  }\n}\n', None, None), "rate_limited"),
    ("itcon-pty-au/stremio-ai-search#109", "openai", 503, {}, [{"error": {"code": 503, "message": "The model is overloaded. Please try again later.", "status": "UNAVAILABLE"}}], "overloaded"),
    # -- other services that speak OpenAI's dialect
    ("Aider-AI/aider#4851 (DeepSeek)", "openai", 402, {}, _openai("Insufficient Balance", "unknown_error", "invalid_request_error"), ACCOUNT),
    ("babikov/doka-site#7 (OpenRouter)", "openai", 402, {}, {"error": {"message": "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford 10114.", "code": 402, "metadata": {"provider_name": None}}, "user_id": "user_"}, ACCOUNT),
    ("Gitlawb/openclaude#936 (OpenRouter)", "openai", 429, {}, {"error": {"message": "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day", "code": 429, "metadata": {"headers": {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0"}}}}, ACCOUNT),
    ("open-webui/computer#293 (OpenRouter)", "openai", 429, {}, {"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": "z-ai/glm-5.3-flash is temporarily rate-limited upstream. Please retry shortly.", "provider_name": "BaseTen"}}}, "rate_limited"),
    ("anomalyco/opencode#24462 (Moonshot behind a router)", "openai", 429, {}, {"error": {"message": "Error from provider: Provider returned error", "code": 429, "metadata": {"raw": '{"error":{"message":"Your account org-X <ak-X> is suspended due to insufficient balance, please recharge your account or check your plan and billing detail'}}}, ACCOUNT),
    ("MoonshotAI/Kimi-K2#5", "openai", 403, {}, {"error": {"message": "Your account X is not active, organization X exceeded current quota, please check your plan and billing details", "type": "exceeded_current_quota_error"}}, ACCOUNT),
    ("harry0703/MoneyPrinterTurbo#339 (Moonshot)", "openai", 429, {}, {"error": {"message": "Your account X request reached max request: 3, please try again after 1 seconds", "type": "rate_limit_reached_error"}}, "rate_limited"),
    ("continuedev/continue#10373 (xAI)", "openai", 429, {}, {"code": "Some resource has been exhausted", "error": "Your team X has either used all available credits or reached its monthly spending limit. To continue making API requests, please purchase more credits or raise your spending limit."}, ACCOUNT),
    ("continuedev/continue#12670 (xAI)", "openai", 403, {}, {"code": "permission-denied", "error": "Your newly created team doesn't have any credits or licenses yet. You can purchase those on https://console.x.ai/team/X."}, ACCOUNT),
    ("continuedev/continue#10161 (xAI)", "openai", 400, {}, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: gs***tF. You can obtain an API key from https://console.x.ai."}, ACCOUNT),
    ("nocmt/LLMSearchPlus#2 (xAI)", "openai", 400, {}, {"code": "Client specified an invalid argument", "error": "The model expects a single `text` element per message."}, "invalid_request"),
    ("pollinations/pollinations#12136 (Fireworks)", "openai", 412, {}, {"error": {"message": "Account X is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices.", "param": None, "code": "PRECONDITION_FAILED", "type": "error"}}, ACCOUNT),
    ("expectedparrot/edsl#2098 (Together)", "openai", 402, {}, {"id": "X", **_openai("Credit limit exceeded. Please navigate to https://api.together.xyz/settings/billing to add credit or upgrade your plan.", "credit_limit", None)}, ACCOUNT),
    ("togethercomputer/MoA#27 (Together)", "openai", 429, {}, _openai("You have been rate limited. Your rate limit is 60 queries per minute.", "credit_limit", None), "rate_limited"),
    ("spring-projects/spring-ai#997 (Groq)", "openai", 401, {}, {"error": {"message": "Invalid API Key", "type": "invalid_request_error", "code": "invalid_api_key"}}, ACCOUNT),
    ("assafelovic/gpt-researcher#985 (Groq)", "openai", 413, {}, {"error": {"message": "Request too large for model `llama-3.1-70b-versatile` in organization `org_X` on tokens per minute (TPM): Limit 6000, Requested 14368, please reduce your message size and try again.", "type": "tokens", "code": "rate_limit_exceeded"}}, "too_large"),
    ("crewAIInc/crewAI#494 (Groq)", "openai", 429, {"retry-after": "60"}, {"error": {"message": "Rate limit reached for model `llama3-70b-8192` in organization `org_X` on tokens per minute (TPM): Limit 5000, Used 5747, Requested ~4251. Please try again in 59.977s.", "type": "tokens", "code": "rate_limit_exceeded"}}, "rate_limited"),
    ("continuedev/continue#6185 (Mistral)", "openai", 429, {}, {"object": "error", "message": "Service tier capacity exceeded for this model.", "type": "invalid_request_error", "param": None, "code": None}, "rate_limited"),
    ("raycast/extensions#31107 (Mistral)", "openai", 429, {}, {"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "param": None, "code": "1300", "raw_status_code": 429}, "rate_limited"),
    ("nomtek/mistralai_client_dart#44 (Mistral)", "openai", 422, {}, {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "messages", 0, "user", "name"], "msg": "Extra inputs are not permitted", "input": None}]}, "type": "invalid_request_error", "param": None, "code": None}, "invalid_request"),
    ("agent0ai/agent-zero#539 (Mistral)", "openai", 401, {}, {"detail": "Unauthorized"}, ACCOUNT),
    ("Alishahryar1/free-claude-code#1485 (NVIDIA)", "openai", 429, {}, {"status": 429, "title": "Too Many Requests"}, "rate_limited"),
    # -- servers of one's own
    ("vllm-project/vllm#20409", "openai", 400, {}, _bare("This model's maximum context length is 16384 tokens. However, you requested 19591 tokens (9591 in the messages, 10000 in the completion). Please reduce the length of the messages or completion."), "context_overflow"),
    ("Gabesarch/grounded-rl#16 (vLLM)", "openai", 400, {}, _bare("The decoder prompt (length 10127) is longer than the maximum model length of 8192. Make sure that `max_model_len` is no smaller than the number of text tokens plus multimodal tokens."), "context_overflow"),
    ("vllm-project/vllm#4667", "openai", 400, {}, _bare("max_tokens must be at least 1, got -186."), "invalid_request"),
    ("earendil-works/pi (Kimi)", "openai", 400, {}, _openai("Invalid request: Your request exceeded model token limit: 262144 (requested: 291351)", "invalid_request_error", None), "context_overflow"),
    ("earendil-works/pi (xAI)", "openai", 400, {}, {"code": "Client specified an invalid argument", "error": "This model's maximum prompt length is 131072 but the request contains 537812 tokens."}, "context_overflow"),
    ("earendil-works/pi (Groq)", "openai", 400, {}, _openai("Please reduce the length of the messages or completion.", "invalid_request_error", None, "messages"), "context_overflow"),
    ("earendil-works/pi (OpenAI)", "openai", 400, {}, _openai("Your input exceeds the context window of this model. Please adjust your input and try again.", "invalid_request_error", None, "input"), "context_overflow"),
    ("earendil-works/pi (GitHub Copilot)", "openai", 400, {}, _openai("prompt token count of 5000 exceeds the limit of 4096", None, None), "context_overflow"),
    ("earendil-works/pi (LM Studio)", "openai", 400, {}, {"error": "The number of tokens to keep from the initial prompt is greater than the context length."}, "context_overflow"),
    ("earendil-works/pi (MiniMax)", "openai", 400, {}, _openai("invalid params, context window exceeds limit", "invalid_request_error", None), "context_overflow"),
    ("earendil-works/pi (Ollama)", "openai", 400, {}, _openai("prompt too long; exceeded max context length by 500 tokens", "invalid_request_error", None), "context_overflow"),
    ("earendil-works/pi (DashScope)", "openai", 400, {}, _openai("Range of input length should be [1, 129024]", "invalid_request_error", "invalid_parameter_error"), "context_overflow"),
    ("QwenLM/Qwen3#1321 (SGLang)", "openai", 400, {}, _bare("The input (61709 tokens) is longer than the model's context length (40960 tokens)."), "context_overflow"),
    ("ggml-org/llama.cpp#15780", "openai", 500, {}, {"error": {"code": 500, "message": "the request exceeds the available context size. try increasing the context size or enable context shift", "type": "exceed_context_size_error", "n_prompt_tokens": 1407, "n_ctx": 256}}, "context_overflow"),
    ("gpustack/gpustack#1845 (llama-box)", "openai", 400, {}, {"error": {"code": 400, "message": "Illegal param: prefill 744 tokens exceed n_ctx_per_seq, try increasing total context size", "type": "invalid_request_error"}, "detail": "Illegal param: prefill 744 tokens exceed n_ctx_per_seq, try increasing total context size"}, "context_overflow"),
    ("mostlygeek/llama-swap#146 (llama.cpp)", "openai", 503, {}, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, "unavailable"),
    ("netease-youdao/QAnything#555 (Ollama)", "openai", 404, {}, _openai('model "ollama" not found, try pulling it first', "api_error", None), "not_found"),
    ("TheBlewish/Automated-AI-Web-Researcher-Ollama#42", "openai", 404, {}, {"error": "model 'custom-phi3-32k-Q4_K_M' not found"}, "not_found"),
    ("TGI, router's error types", "openai", 422, {}, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096", "error_type": "validation"}, "context_overflow"),
    ("TGI, router's error types", "openai", 429, {}, {"error": "Model is overloaded", "error_type": "overloaded"}, "rate_limited"),
    ("nginx, default error page", "openai", 503, {}, "<html>503 Service Temporarily Unavailable</html>", "overloaded"),
    ("nginx, default error page", "openai", 502, {}, "<html>", "upstream"),
    ("a load balancer without a body", "openai", 504, {}, "", "timeout"),
]  # fmt: skip
