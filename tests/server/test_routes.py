"""The table of routes: what goes where, who may call it, and the page that is made of it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from hapenny.cli.options import options
from hapenny.core.errors import Failure
from hapenny.protocols.http1.request import Headers
from hapenny.protocols.http1.target import read
from hapenny.server.routes import ROUTES, TABLE, Match, NotAllowed, Route, Table
from hapenny.server.transport.messages import Request


def ask(method: str, target: str, **headers: str) -> Request:
    fields = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return Request(method, read(method, target, "h"), fields)


def match(method: str, target: str, **headers: str) -> Match:
    return TABLE.match(ask(method, target, **headers))


@pytest.mark.parametrize(
    ("method", "target", "path", "dialect"),
    [
        ("POST", "/v1/chat/completions", "/v1/chat/completions", "openai"),
        ("POST", "/openai/v1/chat/completions?x=1", "/v1/chat/completions", "openai"),
        ("POST", "/chat/completions", "/chat/completions", "openai"),
        ("POST", "/v1/messages", "/v1/messages", "anthropic"),
        ("POST", "/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens", "anthropic"),
        ("POST", "/model/m/converse", "/model/{+model}/converse", "bedrock"),
        ("GET", "/health", "/health", "openai"),
        ("HEAD", "/", "/", "openai"),
        ("GET", "/v1/models", "/v1/models", "openai"),
        ("GET", "/anthropic/v1/models", "/v1/models", "anthropic"),
        ("GET", "/v1/models/Qwen/Qwen3-8B", "/v1/models/{+model...}", "openai"),
        ("GET", "/foundation-models", "/foundation-models", "bedrock"),
        ("GET", "/v1/files/file-1/content", "/v1/files/{id}/content", "openai"),
        ("POST", "/openai/v1/responses", "/v1/responses", "openai"),
        ("GET", "/v1/responses/resp_1", "/{rest...}", "openai"),
        ("POST", "/v1/messages/batches", "/v1/messages/batches", "anthropic"),
        ("GET", "/anthropic/v1/messages/batches/b/results", "/v1/messages/batches/{id}/results", "anthropic"),
        ("POST", "/guardrail/g/version/1/apply", "/guardrail/{+id}/version/{version}/apply", "bedrock"),
    ],
)
def test_where_a_request_goes(method: str, target: str, path: str, dialect: str) -> None:
    found = match(method, target)
    assert (found.route.path, found.dialect) == (path, dialect)


def test_the_clients_own_headers_say_whose_dialect_is_meant() -> None:
    assert match("GET", "/v1/models", anthropic_version="2023-06-01").dialect == "anthropic"
    assert match("GET", "/v1/unknown", x_amz_date="20260101T000000Z").dialect == "bedrock"
    assert match("GET", "/openai/v1/models", anthropic_version="2023-06-01").dialect == "openai"


def test_what_a_pattern_names_is_handed_over_decoded() -> None:
    arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0"
    encoded = arn.replace(":", "%3A").replace("/", "%2F")
    assert match("POST", f"/model/{encoded}/converse").params == {"model": arn}
    assert match("GET", "/v1/files/file%2D1").params == {"id": "file-1"}


def test_encoded_slashes_stand_where_they_may_and_nowhere_else() -> None:
    with pytest.raises(Failure) as error:
        match("GET", "/v1/files/a%2Fb/content")
    assert error.value.kind == "invalid_request"
    with pytest.raises(Failure):
        match("POST", "/v1/things%5Cmore")


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("GET", "/v1/chat/completions", ["POST"]),
        ("DELETE", "/v1/messages", ["POST"]),
        ("POST", "/health", ["GET", "HEAD"]),
        ("PUT", "/v1/files/x", ["DELETE", "GET"]),
        ("TRACE", "/v1/anything", ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]),
        ("get", "/health", ["GET", "HEAD"]),
    ],
)
def test_other_methods_are_told_which_there_are(method: str, target: str, allow: list[str]) -> None:
    with pytest.raises(NotAllowed) as error:
        match(method, target)
    assert error.value.allow == allow


def test_a_table_without_a_catch_all_knows_what_it_does_not_know() -> None:
    table = Table([Route(("GET",), "/a/{id}", ROUTES[0].endpoint, "anyone", "")])
    assert table.match(ask("GET", "/a/1")).params == {"id": "1"}
    for target in ("/a", "/a/", "/a/1/2", "/b/1"):
        with pytest.raises(Failure) as error:
            table.match(ask("GET", target))
        assert error.value.kind == "not_found"


def test_only_health_and_published_answers_need_no_key() -> None:
    open_to_all = {route.path for route in ROUTES if route.who == "anyone"}
    assert open_to_all == {"/", "/health", "/health/ready", "/health/live", "/v1/answers/{id}"}


def test_the_page_tells_every_route_and_is_up_to_date() -> None:
    page = (Path(__file__).parents[2] / "docs" / "endpoints.md").read_text(encoding="utf-8")
    made = CliRunner().invoke(options, ["--endpoints"]).output
    assert page == made, "hapenny options --endpoints > docs/endpoints.md"
    assert all(f"`{route.path}`" in page and route.about in page for route in ROUTES)
