"""Which plane of Bedrock answers a path: as botocore's service models have it."""

import re

import botocore.session
import pytest

from hapenny.backends.bedrock_planes import MANTLE, plane
from hapenny.backends.passable import BEDROCK, way

SERVICES = ("bedrock-runtime", "bedrock", "bedrock-agent-runtime", "bedrock-agent")


def operations():
    session = botocore.session.get_session()
    for service in SERVICES:
        model = session.get_service_model(service)
        for name in model.operation_names:
            http = model.operation_model(name).http
            path = re.sub(r"\{[^}]*\}", "X1Y2Z3", http["requestUri"].partition("?")[0])
            if way(BEDROCK, http["method"], path) is not None:
                yield service, name, http["method"], path


@pytest.mark.parametrize(
    ("service", "name", "method", "path"), [pytest.param(*each, id=each[1]) for each in operations()]
)
def test_what_passes_goes_to_the_host_that_serves_it(service, name, method, path):
    chosen = plane(path)
    model = botocore.session.get_session().get_service_model(service)
    assert (chosen.name, chosen.service) == (model.endpoint_prefix, model.signing_name)


def test_the_surfaces_of_other_vendors_are_the_mantles():
    assert plane("/v1/chat/completions") == MANTLE
    assert plane("/anthropic/v1/messages") == MANTLE
    assert plane("/openai/v1/responses").name == "bedrock-runtime"
    assert MANTLE.url("us-east-1") == "https://bedrock-mantle.us-east-1.api.aws"
