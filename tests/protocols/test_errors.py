# ruff: noqa: E501
"""What providers' error answers mean. Each row names where the body was seen."""

from __future__ import annotations

import json

import pytest

from hapenny.core.errors import STATUS, Failure
from hapenny.protocols import codec

TYPE = "x-amzn-errortype"

RECORDED = [
    # AWS documentation, "Troubleshooting Amazon Bedrock API error codes", and issue threads of aws/… clients.
    ("bedrock", 429, {TYPE: "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/"}, {"message": "Too many tokens, please wait before trying again."}, "rate_limited"),
    ("bedrock", 429, {TYPE: "ThrottlingException"}, {"message": "Too many requests, please wait before trying again."}, "rate_limited"),
    ("bedrock", 429, {}, {"message": "Too many tokens, please wait before trying again."}, "rate_limited"),
    ("bedrock", 400, {}, {"message": "Too many tokens, please wait before trying again."}, "rate_limited"),
    ("bedrock", 400, {TYPE: "ThrottlingException"}, {"message": "Too many tokens per day, please wait before trying again."}, "rate_limited"),
    ("bedrock", 400, {TYPE: "ValidationException"}, {"message": "Input is too long for requested model."}, "context_overflow"),
    ("bedrock", 400, {TYPE: "ValidationException"}, {"message": "The model returned the following errors: prompt is too long: 210000 tokens > 200000 maximum"}, "context_overflow"),
    ("bedrock", 400, {TYPE: "ValidationException"}, {"message": "The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum length."}, "context_overflow"),
    ("bedrock", 400, {TYPE: "ValidationException"}, {"message": "The model returned the following errors: temperature: range: 0..1"}, "invalid_request"),
    ("bedrock", 400, {TYPE: "ValidationException"}, {"message": "Invocation of model ID x with on-demand throughput isn’t supported."}, "invalid_request"),
    ("bedrock", 403, {TYPE: "UnrecognizedClientException"}, {"message": "The security token included in the request is invalid."}, "authentication"),
    ("bedrock", 403, {TYPE: "ExpiredTokenException"}, {"message": "The security token included in the request is expired"}, "authentication"),
    ("bedrock", 403, {TYPE: "AccessDeniedException"}, {"message": "You don't have access to the model with the specified model ID."}, "permission"),
    ("bedrock", 404, {TYPE: "ResourceNotFoundException"}, {"message": "Could not resolve the foundation model from the provided model identifier."}, "not_found"),
    ("bedrock", 408, {TYPE: "ModelTimeoutException"}, {"message": "Model has timed out in processing the request."}, "timeout"),
    ("bedrock", 424, {TYPE: "ModelErrorException"}, {"message": "The system encountered an unexpected error during processing."}, "model_error"),
    ("bedrock", 429, {TYPE: "ModelNotReadyException"}, {"message": "The model specified in the request is not ready to serve inference requests."}, "unavailable"),
    ("bedrock", 503, {TYPE: "ServiceUnavailableException"}, {"message": "Bedrock is unable to process your request."}, "overloaded"),
    ("bedrock", 500, {TYPE: "InternalServerException"}, {"message": "The system encountered an unexpected error."}, "upstream"),
    ("bedrock", 400, {}, {"__type": "com.amazon.coral.service#ThrottlingException", "message": "Rate exceeded"}, "rate_limited"),
    ("invoke", 429, {TYPE: "ThrottlingException"}, {"message": "Too many tokens, please wait before trying again."}, "rate_limited"),
    # Anthropic, API reference "Errors", and SDK tests.
    ("anthropic", 400, {}, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 201123 tokens > 200000 maximum"}}, "context_overflow"),
    ("anthropic", 400, {}, {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: Field required"}}, "invalid_request"),
    ("anthropic", 401, {}, {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}, "authentication"),
    ("anthropic", 413, {}, {"type": "error", "error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}, "too_large"),
    ("anthropic", 429, {"retry-after": "7"}, {"type": "error", "error": {"type": "rate_limit_error", "message": "This request would exceed your organization's rate limit"}}, "rate_limited"),
    ("anthropic", 529, {}, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "overloaded"),
    ("anthropic", 500, {}, {"type": "error", "error": {"type": "api_error", "message": "Internal server error"}}, "upstream"),
    # OpenAI, guide "Error codes"; vLLM's and TGI's servers.
    ("openai", 400, {}, {"error": {"message": "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.", "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"}}, "context_overflow"),
    ("openai", 400, {}, {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter"}}, "invalid_request"),
    ("openai", 401, {}, {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}}, "authentication"),
    ("openai", 429, {}, {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}}, "budget"),
    ("openai", 429, {}, {"error": {"message": "Rate limit reached for gpt-4o", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}}, "rate_limited"),
    ("openai", 404, {}, {"error": {"message": "The model `x` does not exist", "type": "invalid_request_error", "param": None, "code": "model_not_found"}}, "not_found"),
    ("openai", 400, {}, {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "type": "BadRequestError", "param": None, "code": 400}, "context_overflow"),
    ("openai", 422, {}, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096", "error_type": "validation"}, "context_overflow"),
    ("openai", 429, {}, {"error": "Model is overloaded", "error_type": "overloaded"}, "rate_limited"),
    ("openai", 503, {}, "<html>503 Service Temporarily Unavailable</html>", "overloaded"),
    ("openai", 504, {}, "", "timeout"),
    ("openai", 502, {}, "<html>", "upstream"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "headers", "body", "kind"), RECORDED)
def test_recorded(name, status, headers, body, kind):
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    failure = codec(name).decode_error(status, headers, raw)
    assert failure.kind == kind
    assert failure.upstream_status == status
    assert failure.message


def test_when_to_try_again():
    for headers, wanted in [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"x-amz-retry-after": "1500"}, 1.5),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
    ]:
        assert codec("openai").decode_error(429, headers, b"{}").retry_after == wanted


@pytest.mark.parametrize("name", ["openai", "anthropic", "bedrock", "invoke"])
@pytest.mark.parametrize("kind", sorted(STATUS))
def test_kinds_survive_a_second_gateway(name, kind):
    """One hapenny behind another understands what the first one says, as far as the protocol has words for it."""
    talk = codec(name)
    status, headers, body = talk.encode_error(Failure(kind, "words", retry_after=2.0), "req_1")
    again = talk.decode_error(status, headers, body)
    same = {
        "openai": {"upstream": "upstream", "internal": "upstream", "conflict": "conflict"},
        "anthropic": {
            "unavailable": "overloaded",
            "truncated": "upstream",
            "internal": "upstream",
            "model_error": "model_error",
        },
        "bedrock": {
            "context_overflow": "invalid_request",
            "authentication": "permission",
            "budget": "rate_limited",
            "too_large": "invalid_request",
            "truncated": "model_error",
            "unavailable": "overloaded",
            "internal": "upstream",
        },
    }["bedrock" if name == "invoke" else name]
    assert again.kind == same.get(kind, kind)


def test_no_header_carries_a_line_break():
    for name in ("openai", "anthropic", "bedrock", "invoke"):
        _, headers, _ = codec(name).encode_error(Failure("invalid_request", "a\r\nb", field="x\ny"), "r")
        assert not any("\n" in value or "\r" in value for value in headers.values())
