"""The official clients, unmodified, all talking to one loopback server a module."""

from __future__ import annotations

import anthropic
import boto3
import openai
import pytest
from botocore.config import Config

from tests.protocols.loopback import loopback


@pytest.fixture(scope="module")
def server():
    with loopback() as running:
        yield running


@pytest.fixture(scope="module")
def gpt(server):
    return openai.OpenAI(api_key="k", base_url=server.url + "/v1", max_retries=0)


@pytest.fixture(scope="module")
def claude(server):
    return anthropic.Anthropic(api_key="k", base_url=server.url, max_retries=0)


@pytest.fixture(scope="module")
def bedrock(server):
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=server.url,
        aws_access_key_id="AKID",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 0}, tcp_keepalive=False),
    )
