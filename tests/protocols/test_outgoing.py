"""Requests as they go out, judged by botocore's service model and by the types of the openai and anthropic clients."""

from __future__ import annotations

import json

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from hypothesis import given, settings
from openai.types.chat import completion_create_params as chat
from pydantic import TypeAdapter

from hapenny.core.errors import Failure
from hapenny.core.messages import Request
from hapenny.protocols import codec
from tests.protocols.strategies import requests

MODEL = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))
TYPES = {
    ("openai", False): TypeAdapter(chat.CompletionCreateParamsNonStreaming),
    ("openai", True): TypeAdapter(chat.CompletionCreateParamsStreaming),
    ("anthropic", False): TypeAdapter(MessageCreateParamsNonStreaming),
    ("anthropic", True): TypeAdapter(MessageCreateParamsStreaming),
}
EXAMPLES = 20


def exhaust(value):
    """The clients' types hold iterables, which pydantic checks only as they are read."""
    if isinstance(value, dict):
        for inner in value.values():
            exhaust(inner)
    elif not isinstance(value, (str, bytes, int, float, bool, type(None))):
        for inner in value:
            exhaust(inner)


def judge(name: str, request: Request) -> None:
    model = "anthropic.claude-x" if name in ("bedrock", "invoke") else "some-model"
    wire = codec(name).encode_request(request, model=model)
    body = json.loads(wire.body)
    if name == "bedrock":
        shape = MODEL.operation_model("ConverseStream" if request.stream else "Converse").input_shape
        body["modelId"] = model
        report = ParamValidator().validate(body, shape)
        assert not report.has_errors(), report.generate_report()
        return
    if name == "invoke":
        assert body.pop("anthropic_version") == "bedrock-2023-05-31"
        assert "model" not in body and "stream" not in body
        body["model"] = model
        exhaust(TYPES["anthropic", False].validate_python(body))
        return
    exhaust(TYPES[name, request.stream].validate_python(body))


@pytest.mark.parametrize("target", ["openai", "anthropic", "bedrock", "invoke"])
@settings(max_examples=EXAMPLES, deadline=None)
@given(request=requests())
def test_what_goes_out_is_valid_or_refused_with_a_reason(target, request):
    try:
        judge(target, request)
    except Failure as failure:
        assert failure.kind == "invalid_request"
        assert failure.field
        assert failure.fix
