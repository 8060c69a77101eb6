"""What providers' errors mean: one table from their words to our kinds, each row with its source.

A row holds where everything it names agrees: the dialect, the status, the provider's error type or code (in any case)
and a piece of its text. The first row that holds decides; where none does, the status does (`STATUS`). The order of
evidence is: words that mean one thing whatever stands around them, then the provider's own type, then the text of
errors about the request, then the status. Texts alone mislead: Bedrock's throttle says "too many tokens", which reads
like a prompt that is too long; Moonshot and Together give one type to what passes and to what does not. Whether a kind
may be tried again is decided in `core.errors.RETRYABLE` alone.

`provider_account` is what only the operator of the gateway can mend: the provider's credit is spent, our key is
refused, a model is not enabled, the account's quota is used up. Clients are told that the service is unavailable, the
operator's log what to do (`fix`), and another provider may answer.

Sources are issues of public projects (owner/name#number) where the body was recorded, or the provider's own pages.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from hapenny.core.errors import Kind

Speaks = Literal["", "openai", "anthropic", "bedrock"]


class Known(NamedTuple):
    """One thing that providers say."""

    kind: Kind
    source: str
    code: str = ""
    """The provider's error type or code, lower case."""
    text: str = ""
    """A piece of its message or details, lower case."""
    status: tuple[int, ...] = ()
    """Where it must stand; 200 is an error within a stream."""
    speaks: Speaks = ""
    fix: str = ""
    """What the operator has to do."""
    filtered: bool = False
    """A content filter of the provider refused the request."""


CREDIT = "add credit to the provider's account, or raise its spending limit"
KEY = "check the backend's api_key or credentials: the provider refuses them"
ACCESS = "let the account use this model: ask for access, agree to its terms, or allow it in the account's policies"
QUOTA = "the account's quota is used up: ask the provider for more, or wait until it begins anew"
ENDPOINT = "no such endpoint in this region: check the model's id and the backend's region"
PLACE = "call the provider from a place it serves, or configure another backend"

_OPENAI = "OpenAI, guide Error codes"
_ANTHROPIC = "Anthropic, API reference Errors"
_BEDROCK = "AWS, Bedrock user guide, Troubleshooting API error codes"
_AWS = "AWS, Common errors"
_PI = "earendil-works/pi, packages/ai, utils/overflow ("
_OPENROUTER = "OpenRouter, API errors"

_ACCOUNT = (200, 400, 401, 402, 403, 412, 429)
"""Where a refused account is told. A server's own failure (5xx) is none, whatever words it quotes."""
_WRONG = (200, 400, 413, 422, 500)
"""Where a prompt that is too long is told: llama.cpp and its like answer it with 500."""
_BUSY = (200, 400, 422, 429)

ROWS: tuple[Known, ...] = (
    # -- what reads like a refused account and is none ---------------------------------------------------------------
    Known("rate_limited", "togethercomputer/MoA#27", "credit_limit", "you have been rate limited"),
    Known("invalid_request", "UKGovernmentBEIS/inspect_ai#2267 (xAI)", text="content violates usage g", status=(403,),
          filtered=True),
    Known("invalid_request", _OPENROUTER, text="requires moderation", status=(403,), filtered=True),
    Known("invalid_request", _OPENROUTER, text="input was flagged", status=(403,), filtered=True),
    # -- the account's credit ----------------------------------------------------------------------------------------
    Known("provider_account", "anthropics/claude-code#66314", "", "credit balance is too low", _ACCOUNT, fix=CREDIT),
    Known("provider_account", "anthropics/claude-code#38035", "", "specified api usage limits", _ACCOUNT, fix=CREDIT),
    Known("provider_account", _ANTHROPIC, "billing_error", fix=CREDIT),
    Known("provider_account", _OPENAI, "insufficient_quota", fix=CREDIT),
    Known("provider_account", "lifan0127/ai-research-assistant#174", "billing_not_active", fix=CREDIT),
    Known("provider_account", "bajrangCoder/acode-plugin-chatgpt#19", "billing_hard_limit_reached", fix=CREDIT),
    Known("provider_account", "expectedparrot/edsl#2098 (Together)", "credit_limit", fix=CREDIT),
    Known("provider_account", "MoonshotAI/Kimi-K2#5", "exceeded_current_quota_error", fix=CREDIT),
    Known("provider_account", "anomalyco/opencode#24462", "", "suspended due to insufficient b", _ACCOUNT, fix=CREDIT),
    Known("provider_account", "Aider-AI/aider#4851 (DeepSeek)", "", "insufficient balance", _ACCOUNT, fix=CREDIT),
    Known("provider_account", "babikov/doka-site#7 (OpenRouter)", "", "requires more credits", _ACCOUNT, fix=CREDIT),
    Known("provider_account", "continuedev/continue#10373", "", "used all available credits", _ACCOUNT, fix=CREDIT),
    Known("provider_account", "continuedev/continue#12670", "", "doesn't have any credits", _ACCOUNT, fix=CREDIT),
    Known("provider_account", "Wei-Shaw/sub2api#4069 (xAI)", "", "run out of credits", _ACCOUNT, fix=CREDIT),
    Known("provider_account", "pollinations/pollinations#12136", "", "monthly spending limit", _ACCOUNT, fix=CREDIT),
    Known("provider_account", "Tracer-Cloud/opensre#1812", "", "invalid_payment_instrument", _ACCOUNT, fix=CREDIT),
    # -- our key, and what the account may do ------------------------------------------------------------------------
    Known("provider_account", "continuedev/continue#10120 (OpenAI)", "", "does not have access to model", (401, 403),
          fix=ACCESS),
    Known("provider_account", "anthropics/claude-code#9384", "", "organization has been disabled", _ACCOUNT, fix=KEY),
    Known("provider_account", "zeroclaw-labs/zeroclaw#194 (Gemini)", "api_key_invalid", fix=KEY),
    Known("provider_account", "continuedev/continue#10290 (Gemini)", "", "pass a valid api key", _ACCOUNT, fix=KEY),
    Known("provider_account", "continuedev/continue#10513 (Gemini)", "", "reported as leaked", _ACCOUNT, fix=KEY),
    Known("provider_account", "continuedev/continue#10161", "", "incorrect api key provided", _ACCOUNT, fix=KEY),
    Known("provider_account", _OPENAI, "invalid_api_key", fix=KEY),
    Known("provider_account", "aandrew-me/tgpt#171 (OpenAI)", "", "account has been deactivated", _ACCOUNT, fix=KEY),
    Known("provider_account", _OPENAI, "account_deactivated", fix=KEY),
    Known("provider_account", "clacky-ai/openclacky#192 (Kimi)", "access_terminated_error", fix=KEY),
    Known("provider_account", "home-assistant/core#120072", "unsupported_country_region_territory", fix=PLACE),
    Known("provider_account", "google-gemini/gemini-cli#24641", "", "user location is not supported for the api",
          _ACCOUNT, fix=PLACE),
    Known("provider_account", "aws-samples/anthropic-on-aws#252", "", "model access is denied", _ACCOUNT, fix=ACCESS),
    Known("provider_account", "aws/aws-cli#8717", "", "operation not allowed", _ACCOUNT, "bedrock", ACCESS),
    Known("provider_account", "coder/code-server#7959", "", "account is not authorized", _ACCOUNT, "bedrock", ACCESS),
    Known("provider_account", _BEDROCK, "accessdeniedexception", fix=ACCESS),
    Known("provider_account", "anthropics/claude-code#2260", "unrecognizedclientexception", fix=KEY),
    Known("provider_account", _AWS, "invalidsignatureexception", fix=KEY),
    Known("provider_account", _AWS, "expiredtokenexception", fix=KEY),
    Known("provider_account", _AWS, "expiredtoken", fix=KEY),
    Known("provider_account", _AWS, "invalidclienttokenid", fix=KEY),
    Known("provider_account", _AWS, "missingauthenticationtokenexception", fix=KEY),
    Known("provider_account", _AWS, "missingauthenticationtoken", fix=KEY),
    Known("provider_account", _AWS, "incompletesignatureexception", fix=KEY),
    Known("provider_account", _AWS, "incompletesignature", fix=KEY),
    Known("provider_account", _AWS, "notauthorized", fix=ACCESS),
    Known("provider_account", _AWS, "optinrequired", fix=ACCESS),
    Known("provider_account", "aws/amazon-sagemaker-examples#1073", "", " of account ", (400,), "bedrock", ENDPOINT),
    Known("provider_account", _ANTHROPIC, "authentication_error", fix=KEY),
    Known("provider_account", _ANTHROPIC, "permission_error", fix=ACCESS),
    # -- the account's quota -----------------------------------------------------------------------------------------
    Known("provider_account", "minorun365/agent-book#29 (Bedrock)", "", "too many tokens per day", _ACCOUNT, fix=QUOTA),
    Known("provider_account", _AWS, "servicequotaexceededexception", fix=QUOTA),
    Known("provider_account", "google-gemini/gemini-cli#8437", "", "perdayperproject", (429, 200), fix=QUOTA),
    Known("provider_account", "google-gemini/gemini-cli#10513", "", "requests per day per", (429, 200), fix=QUOTA),
    Known("provider_account", "continuedev/continue#9570 (Gemini)", "", "limit: 0, model", (429, 200), fix=QUOTA),
    Known("provider_account", "Gitlawb/openclaude#936 (OpenRouter)", "", "free-models-per-day", (429, 200), fix=QUOTA),
    # -- too much at once --------------------------------------------------------------------------------------------
    Known("too_large", "assafelovic/gpt-researcher#985 (Groq), TheR1D/shell_gpt#653 (OpenAI)", "rate_limit_exceeded",
          "request too large for "),
    Known("rate_limited", _BEDROCK, "throttlingexception"),
    Known("rate_limited", _AWS, "throttling"),
    Known("rate_limited", _AWS, "toomanyrequestsexception"),
    Known("rate_limited", "anthropics/claude-code#236 (Bedrock)", "", "too many tokens, please wait", _BUSY),
    Known("rate_limited", _AWS, "", "rate exceeded", _BUSY),
    Known("rate_limited", _BEDROCK, "", "too many requests", _BUSY),
    Known("rate_limited", _BEDROCK, "", "please wait before trying", _BUSY),
    Known("rate_limited", _OPENAI, "rate_limit_exceeded"),
    Known("rate_limited", _ANTHROPIC, "rate_limit_error"),
    Known("rate_limited", "harry0703/MoneyPrinterTurbo#339 (Moonshot)", "rate_limit_reached_error"),
    Known("rate_limited", "raycast/extensions#31107 (Mistral)", "rate_limited"),
    Known("rate_limited", "vanderschaarlab/climb#1 (OpenAI)", "tokens", "", (429, 200)),
    Known("rate_limited", _OPENAI, "requests", "", (429, 200)),
    Known("rate_limited", "google-gemini/gemini-cli#1609", "resource_exhausted"),
    # -- the prompt and the request ----------------------------------------------------------------------------------
    Known("context_overflow", _OPENAI, "context_length_exceeded"),
    Known("context_overflow", "oobabooga/textgen#7257 (llama.cpp)", "exceed_context_size_error"),
    Known("context_overflow", "antirez/ds4#150", "context_exceeded"),
    Known("invalid_request", "BerriAI/litellm#17904 (OpenAI)", "string_above_max_length"),
    Known("invalid_request", "compl-ai/compl-ai#20 (Azure)", "content_filter", filtered=True),
    Known("invalid_request", "OpenAI, images guide", "content_policy_violation", filtered=True),
    Known("context_overflow", _ANTHROPIC, "", "prompt is too long", _WRONG),
    Known("context_overflow", "Anthropic, guide Context windows", "", "exceed context limit", _WRONG),
    Known("context_overflow", "anthropics/claude-code#6368", "", "exceeds model context window", _WRONG),
    Known("context_overflow", "continuedev/continue#6005 (Bedrock)", "", "input is too long", _WRONG),
    Known("context_overflow", _BEDROCK, "", "too many input tokens", _WRONG),
    Known("context_overflow", _BEDROCK, "", "input tokens exceeds", _WRONG),
    Known("context_overflow", "vllm-project/vllm#20409", "", "maximum context length", _WRONG),
    Known("context_overflow", "Gabesarch/grounded-rl#16 (vLLM)", "", "longer than the maximum model length", _WRONG),
    Known("context_overflow", "vllm-project/vllm#12165", "", "too long to fit into the model", _WRONG),
    Known("context_overflow", "QwenLM/Qwen3#1321 (SGLang)", "", "longer than the model's context length", _WRONG),
    Known("context_overflow", "ggml-org/llama.cpp#15780", "", "exceeds the available context size", _WRONG),
    Known("context_overflow", "abetlen/llama-cpp-python#416", "", "exceed context window", _WRONG),
    Known("context_overflow", "gpustack/gpustack#1845 (llama-box)", "", "exceed n_ctx", _WRONG),
    Known("context_overflow", "ggml-org/llama.cpp#12113", "", "context size exceeded", _WRONG),
    Known("context_overflow", "Gemini, guide Tokens", "", "exceeds the maximum number of tokens", _WRONG),
    Known("context_overflow", "TGI, launcher arguments", "", "tokens + `max_new_tokens`", _WRONG),
    Known("context_overflow", "TGI, launcher arguments", "", "`inputs` must have less than", _WRONG),
    Known("context_overflow", _PI + "OpenAI)", "", "exceeds the context window", _WRONG),
    Known("context_overflow", _PI + "xAI)", "", "maximum prompt length is", _WRONG),
    Known("context_overflow", _PI + "Groq)", "", "reduce the length of the messages", _WRONG),
    Known("context_overflow", _PI + "GitHub Copilot)", "", "prompt token count of", _WRONG),
    Known("context_overflow", _PI + "LM Studio)", "", "greater than the context length", _WRONG),
    Known("context_overflow", _PI + "MiniMax)", "", "context window exceeds limit", _WRONG),
    Known("context_overflow", _PI + "Kimi)", "", "exceeded model token limit", _WRONG),
    Known("context_overflow", _PI + "Ollama)", "", "prompt too long; exceeded", _WRONG),
    Known("context_overflow", _PI + "DashScope)", "", "range of input length should be", _WRONG),
    Known("context_overflow", "OpenAI, model pages (GPT-5)", "", "input tokens exceed the configured limit", _WRONG),
    Known("context_overflow", "Cohere, API errors", "", "tokens in the prompt cannot exceed", _WRONG),
    Known("too_large", _ANTHROPIC, "request_too_large"),
    Known("too_large", _AWS, "requestentitytoolargeexception"),
    Known("invalid_request", _BEDROCK, "validationexception"),
    Known("invalid_request", _ANTHROPIC, "invalid_request_error", "", (200,)),
    # -- what is not there, now or ever ------------------------------------------------------------------------------
    Known("not_found", _OPENAI, "model_not_found"),
    Known("not_found", _ANTHROPIC, "not_found_error"),
    Known("not_found", _BEDROCK, "resourcenotfoundexception"),
    Known("not_found", "chatboxai/chatbox#646 (Azure)", "deploymentnotfound"),
    Known("conflict", _ANTHROPIC, "conflict_error"),
    Known("conflict", _BEDROCK, "conflictexception"),
    Known("overloaded", _ANTHROPIC, "overloaded_error"),
    Known("overloaded", _BEDROCK, "serviceunavailableexception"),
    Known("overloaded", _AWS, "serviceunavailable"),
    Known("overloaded", "google-gemini/gemini-cli#23520", "model_capacity_exhausted"),
    Known("overloaded", "MoonshotAI, API errors", "engine_overloaded_error"),
    Known("overloaded", "itcon-pty-au/stremio-ai-search#109 (Gemini)", "unavailable", "overloaded"),
    Known("unavailable", _BEDROCK, "modelnotreadyexception"),
    Known("unavailable", "mostlygeek/llama-swap#146 (llama.cpp)", "unavailable_error"),
    Known("upstream", _BEDROCK, "internalserverexception"),
    Known("upstream", _AWS, "internalfailure"),
    Known("timeout", _ANTHROPIC, "timeout_error"),
    Known("timeout", _BEDROCK, "modeltimeoutexception"),
    Known("timeout", "Gemini, guide Troubleshooting", "deadline_exceeded"),
    Known("model_error", _BEDROCK, "modelerrorexception"),
    Known("model_error", _BEDROCK, "modelstreamerrorexception"),
    # -- another gateway of this kind, in its own words --------------------------------------------------------------
    Known("timeout", "this gateway", "timeout", "", (200, 504)),
    Known("model_error", "this gateway", "model_error", "", (200, 424)),
    Known("truncated", "this gateway", "truncated", "", (200, 502)),
    Known("overloaded", "this gateway", "overloaded", "", (200, 503)),
    Known("unavailable", "this gateway", "unavailable", "", (200, 503)),
    Known("unavailable", "this gateway", "provider_unavailable", "", (200, 503)),
)  # fmt: skip

STATUS: dict[int, tuple[Kind, str]] = {
    400: ("invalid_request", ""),
    401: ("provider_account", KEY),
    402: ("provider_account", CREDIT),
    403: ("provider_account", ACCESS),
    404: ("not_found", ""),
    407: ("unavailable", ""),
    408: ("timeout", ""),
    409: ("conflict", ""),
    412: ("provider_account", CREDIT),
    413: ("too_large", ""),
    422: ("invalid_request", ""),
    424: ("model_error", ""),
    425: ("unavailable", ""),
    429: ("rate_limited", ""),
    498: ("overloaded", ""),
    500: ("upstream", ""),
    502: ("upstream", ""),
    503: ("overloaded", ""),
    504: ("timeout", ""),
    520: ("upstream", ""),
    524: ("timeout", ""),
    529: ("overloaded", ""),
}
"""What a status says where no row holds: kind, and the operator's fix. 412 is Fireworks' suspended account, 498 Groq's
flex capacity, 520 and 524 are Cloudflare's, 529 is Anthropic's."""


def known(speaks: str, status: int, codes: frozenset[str], text: str) -> Known | None:
    """The first row that holds.

    Args:
        speaks: the provider's dialect.
        status: of the answer; 200 for an error within a stream.
        codes: the provider's error types and codes, lower case.
        text: message and details, lower case.
    """
    for row in ROWS:
        if row.code and row.code not in codes:
            continue
        if row.text and row.text not in text:
            continue
        if (row.status and status not in row.status) or (row.speaks and row.speaks != speaks):
            continue
        return row
    return None
