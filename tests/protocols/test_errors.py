"""What providers' error answers mean, and what clients of each dialect are told of them."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest

from hapenny.core.errors import RETRYABLE, STATUS, Failure, invalid
from hapenny.protocols import codec
from hapenny.protocols.known_errors import ROWS, known
from tests.protocols.recorded_errors import ACCOUNT, RECORDED, TYPE

CLIENTS = ("openai", "anthropic", "bedrock", "invoke")


def decoded(name, status, headers, body):
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return codec(name).decode_error(status, headers, raw)


def recorded():
    return [pytest.param(*row[1:], id=f"{row[0]} {row[2]} {row[5]}") for row in RECORDED]


def test_there_are_enough_recorded_errors():
    assert len(RECORDED) >= 60
    assert all(source for source, *_ in RECORDED)
    assert all(row.source for row in ROWS)


@pytest.mark.parametrize(("name", "status", "headers", "body", "kind"), recorded())
def test_recorded(name, status, headers, body, kind):
    failure = decoded(name, status, headers, body)
    assert failure.kind == kind
    assert failure.upstream_status == status
    assert failure.message
    assert failure.retryable == (kind in RETRYABLE)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("name", "status", "headers", "body", "kind"), recorded())
def test_every_client_is_told_in_its_own_dialect(client, name, status, headers, body, kind):
    """What only the operator can mend is a 503 of the gateway: no client should look at its own key or bill."""
    code, out, answer = codec(client).encode_error(decoded(name, status, headers, body), "req_1")
    assert json.loads(answer)
    if kind == ACCOUNT:
        assert code == 503
        for theirs in ("credit", "billing", "quota", "api key", "api_key", "organization", "permission", "token"):
            assert theirs not in answer.decode().lower()
        if client in ("openai", "anthropic"):
            assert out["x-should-retry"] == "false"
    elif kind in ("invalid_request", "context_overflow", "not_found", "too_large"):
        assert 400 <= code < 500
        assert code not in (401, 402, 403)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.source} {row.code} {row.text}")
def test_no_row_is_hidden_by_one_above_it(row):
    status = row.status[0] if row.status else 400
    first = known(row.speaks, status, frozenset({row.code} if row.code else ()), row.text)
    assert first is not None
    assert first.kind == row.kind
    assert bool(row.fix) == (row.kind == ACCOUNT)


@pytest.mark.parametrize(("name", "status", "headers", "body", "kind"), recorded())
def test_the_operator_is_told_what_to_do(name, status, headers, body, kind):
    failure = decoded(name, status, headers, body)
    assert bool(failure.operator) == (kind == ACCOUNT)


def test_a_server_that_quotes_words_about_credit_is_no_refused_account():
    """A failure within the provider is its own, whatever stands in its text."""
    body = {"error": {"message": "internal error near 'Your credit balance is too low'", "type": "server_error"}}
    assert decoded("openai", 500, {}, body).kind == "upstream"
    assert decoded("openai", 503, {}, body).kind == "overloaded"


@pytest.mark.parametrize(
    ("client", "words"),
    [
        ("anthropic", ("prompt is too long",)),
        ("bedrock", ("Input is too long", "too many input tokens", "exceed context limit")),
        ("openai", ("context_length_exceeded",)),
    ],
)
@pytest.mark.parametrize(
    "row", [row for row in RECORDED if row[5] == "context_overflow"], ids=lambda row: f"{row[0]} {row[2]}"
)
def test_a_prompt_that_is_too_long_is_told_in_the_words_clients_look_for(client, words, row):
    _, name, status, headers, body, _ = row
    answer = codec(client).encode_error(decoded(name, status, headers, body), "req_1")[2].decode()
    assert any(word in answer for word in words)


NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"x-amz-retry-after": "1500"}, 1.5),
        ({"retry-after": formatdate(NOW + 9, usegmt=True), "date": formatdate(NOW, usegmt=True)}, 9.0),
        ({"retry-after": formatdate(NOW - 9, usegmt=True), "date": formatdate(NOW, usegmt=True)}, 2.0),
        ({"retry-after": formatdate(NOW + 90_000, usegmt=True), "date": formatdate(NOW, usegmt=True)}, None),
        ({"retry-after": "Friday, 15-Jan-27 08:00:09 GMT", "date": formatdate(NOW, usegmt=True)}, 9.0),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:00 GMT"}, None),
        ({"retry-after": "tomorrow", "date": formatdate(NOW, usegmt=True)}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e9"}, None),
    ],
)
def test_when_to_try_again(headers, seconds):
    failure = codec("openai").decode_error(429, headers, b"{}")
    assert failure.retry_after == seconds
    for client in ("openai", "anthropic"):
        headers = codec(client).encode_error(failure, "req_1")[1]
        assert headers.get("retry-after") == (None if seconds is None else str(max(1, round(seconds + 0.49))))


def test_a_body_may_say_when_to_try_again():
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "20.5s"}]
    body = [{"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED", "details": details}}]
    assert decoded("openai", 429, {}, body).retry_after == 20.5
    assert decoded("openai", 429, {"retry-after": "3"}, body).retry_after == 3.0
    details[0]["retryDelay"] = "soon"
    assert decoded("openai", 429, {}, body).retry_after is None


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("kind", sorted(STATUS))
def test_kinds_survive_a_second_gateway(name, kind):
    """One hapenny behind another understands what the first one says, as far as the protocol has words for it. What the
    second one refuses its client, the first one, is for the first one's operator to mend."""
    talk = codec(name)
    status, headers, body = talk.encode_error(Failure(kind, "words", retry_after=2.0), "req_1")
    again = talk.decode_error(status, headers, body)
    same = {
        "openai": {"internal": "upstream", "provider_account": "unavailable"},
        "anthropic": {
            "unavailable": "overloaded",
            "truncated": "upstream",
            "internal": "upstream",
            "provider_account": "overloaded",
        },
        "bedrock": {
            "too_large": "invalid_request",
            "truncated": "model_error",
            "unavailable": "overloaded",
            "internal": "upstream",
            "provider_account": "overloaded",
        },
    }["bedrock" if name == "invoke" else name]
    ours = dict.fromkeys(("authentication", "permission", "budget"), ACCOUNT)
    assert again.kind == (ours | same).get(kind, kind)


def test_an_error_within_a_stream_has_the_status_it_names():
    stream = codec("openai").decoder(model="m", id="i", created=0)
    with pytest.raises(Failure) as caught:
        stream.feed(b'data: {"error": {"code": 429, "message": "slow down", "type": "x"}}\n\n')
    assert (caught.value.kind, caught.value.upstream_status) == ("rate_limited", 429)


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize(
    "body",
    ["", "null", "[]", "[[]]", "7", '"text"', "{}", '{"error": []}', '{"error": {"message": {}}}',
     '{"detail": [[], 1]}', '{"error": {"details": 1, "metadata": 2, "innererror": 3}}', '{"message": "{"}',
     "{" * 5_000, "[" * 100_000],
)  # fmt: skip
def test_odd_bodies_are_errors_of_their_status(name, body):
    failure = codec(name).decode_error(503, {}, body.encode())
    assert failure.kind == "overloaded"
    assert failure.message


def test_no_header_carries_a_line_break():
    for name in CLIENTS:
        _, headers, _ = codec(name).encode_error(Failure("invalid_request", "a\r\nb", field="x\ny"), "r")
        assert not any("\n" in value or "\r" in value for value in headers.values())


def test_a_stream_frame_of_bedrock_says_its_exception():
    throttled = {"message": "wait", "originalStatusCode": 429}
    failure = decoded("bedrock", 424, {TYPE: "modelStreamErrorException"}, throttled)
    assert failure.kind == "rate_limited"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"type": "invalid_request_error", "code": "invalid_value"}, "invalid_value"),
        ({"type": "invalid_request_error", "code": "content_policy_violation"}, "content_policy_violation"),
        ({"type": "invalid_request_error", "code": None}, None),
        ({"type": "BadRequestError", "code": 400}, None),
    ],
)
def test_openais_clients_keep_the_providers_code_and_words(said, code):
    body = json.dumps({"error": {"message": "Invalid 'stop'.", "param": "stop", **said}}).encode()
    failure = codec("openai").decode_error(400, {}, body)
    error = json.loads(codec("openai").encode_error(failure, "r")[2])["error"]
    assert (error["message"], error["param"], error["code"]) == ("Invalid 'stop'.", "stop", code)


def test_what_the_gateway_refuses_names_field_and_fix():
    failure = invalid("No.", "stop", "send none")
    error = json.loads(codec("openai").encode_error(failure, "r")[2])["error"]
    assert error["message"] == "No. (field: stop) Fix: send none"
