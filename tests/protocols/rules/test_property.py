"""Whatever a client sends, what goes to another service breaks none of its rules, or is refused with field and fix."""

from __future__ import annotations

import json

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hapenny.catalog import resolve
from hapenny.core.errors import Failure
from hapenny.protocols import codec
from hapenny.protocols.rules import HOME, broken, fit
from tests.protocols.rules import wild

SERVICE = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))
DIALECT = {service: protocol for protocol, service in HOME.items()}
CONVERSE = [
    "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "anthropic.claude-3-haiku-20240307-v1:0",
    "anthropic.claude-opus-4-7",
    "anthropic.claude-sonnet-5-5",
    "amazon.nova-lite-v1:0",
    "amazon.nova-2-lite-v1:0",
    "us.meta.llama3-3-70b-instruct-v1:0",
    "mistral.mistral-large-2407-v1:0",
    "amazon.titan-text-express-v1",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2",
]
TARGETS = (
    [("converse", model) for model in CONVERSE]
    + [("anthropic", model) for model in ("claude-sonnet-4-5", "claude-opus-4-6", "claude-3-haiku-20240307")]
    + [("invoke", model) for model in ("anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-opus-4-7")]
    + [("openai", model) for model in ("gpt-4.1", "gpt-5.2", "o3", "Qwen/Qwen3-8B", "mistral-large-latest")]
)


def composed(request, service, model):
    """The body that is sent, after the client's types and botocore's model had their look."""
    body = json.loads(codec(DIALECT[service]).encode_request(request, model=model).body)
    if service == "converse":
        shape = SERVICE.operation_model("ConverseStream" if request.stream else "Converse").input_shape
        report = ParamValidator().validate({**body, "modelId": model}, shape)
        assert not report.has_errors(), report.generate_report()
    return body


def one_request(data):
    service, model = data.draw(st.sampled_from(TARGETS))
    protocols = ["openai", "anthropic", "bedrock"]
    protocol = data.draw(st.sampled_from([one for one in protocols if HOME[one] != service]))
    if service == "invoke":
        protocol = "anthropic"  # the only dialect that goes there from elsewhere
    request = data.draw(wild.requests(protocol))
    card = resolve(model)
    try:
        fitted = fit(request, service, model, card)
        body = composed(fitted.request, service, model)
    except Failure as failure:
        assert failure.kind == "invalid_request"
        assert failure.field
        assert failure.fix
        return
    if service == "invoke" and list(broken(composed(request, "anthropic", model), "anthropic", model, card)):
        return  # the same dialect: what Anthropic itself refuses is the client's own affair
    assert [breach.said for breach in broken(body, service, model, card, stream=fitted.request.stream)] == []
    assert all(note.isascii() and "\n" not in note for note in fitted.notes)
    again = fit(request, service, model, card)
    assert (again.request, again.notes) == (fitted.request, fitted.notes)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_sent_breaks_no_rule(data):
    one_request(data)


@pytest.mark.long
@pytest.mark.timeout(3_600)
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_of_many_requests_none_breaks_a_rule(data):
    one_request(data)
