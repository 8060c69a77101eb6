"""Signatures against botocore's own signer."""

from __future__ import annotations

import datetime
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Theirs
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.protocols import sigv4

HOST = "bedrock-runtime.us-east-1.amazonaws.com"


def theirs(monkeypatch, path, body, token, now, query=""):
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC).replace(tzinfo=None)
    for name in ("get_current_datetime", "get_current_date"):
        if hasattr(botocore.auth, name):
            monkeypatch.setattr(botocore.auth, name, lambda *_, **__: moment)
    request = AWSRequest(
        "POST", f"https://{HOST}{path}" + (f"?{query}" if query else ""), {"Content-Type": "application/json"}, body
    )
    signer = botocore.auth.SigV4Auth(Theirs("AKID", "secret", token), "bedrock", "us-east-1")
    signer.add_auth(request)
    return dict(request.headers.items())


@pytest.mark.parametrize("token", [None, "session/token=="])
@pytest.mark.parametrize(
    "path",
    [
        "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.m/invoke",
        "/model/plain/converse-stream",
    ],
)
@pytest.mark.parametrize("now", [1e9, 1709210096.7, 4102444799.0])
def test_the_signature_is_botocores(monkeypatch, path, token, now):
    body = '{"messages": "é"}'.encode()
    ours = sigv4.sign(
        "POST",
        HOST,
        path,
        {"content-type": "application/json"},
        body,
        credentials=sigv4.Credentials("AKID", "secret", token),
        region="us-east-1",
        now=now,
    )
    wanted = theirs(monkeypatch, path, body, token, now)
    assert ours == {key: wanted[key] for key in ours}
    assert set(wanted) - set(ours) == {"Content-Type"}


def signed(path="/model/a%3Ab/converse", body=b"{}", token=None, now=1e9, extra=None):
    headers = {"content-type": "application/json", **(extra or {})}
    added = sigv4.sign(
        "POST",
        HOST,
        path,
        headers,
        body,
        credentials=sigv4.Credentials("AKID", "secret", token),
        region="us-east-1",
        now=now,
    )
    return {"host": HOST, **headers, **{key.lower(): value for key, value in added.items()}}


def test_what_botocore_signed_is_verified(monkeypatch):
    path, query = "/model/a%3Ab/converse", "b=2&a=1%2F"
    headers = {k.lower(): v for k, v in theirs(monkeypatch, path, b"{}", "tok", 1e9, query).items()} | {"host": HOST}
    assert sigv4.access_key(headers["authorization"]) == "AKID"
    assert sigv4.verify("POST", f"{path}?{query}", headers, b"{}", "secret", 1e9)


def test_each_change_breaks_it():
    path, headers = "/model/a%3Ab/converse", signed(token="tok")

    def holds(method="POST", path=path, body=b"{}", secret="secret", now=1e9 + 250, **changes):
        given = {**headers, **{key.replace("_", "-"): value for key, value in changes.items()}}
        return sigv4.verify(method, path, given, body, secret, now)

    assert holds()
    assert not holds(method="GET")
    assert not holds(path="/model/a%3Ac/converse")
    assert not holds(path=path + "?x=1")
    assert not holds(body=b"{} ")
    assert not holds(secret="other")
    assert not holds(now=1e9 + 301)
    assert not holds(now=1e9 - 301)
    assert not holds(now=float("nan"))
    assert not holds(host="elsewhere")
    assert not holds(content_type="text/plain")
    assert not holds(x_amz_security_token="other")
    assert not holds(x_amz_content_sha256="0" * 64)
    assert not holds(authorization=headers["authorization"].replace("bedrock", "s3"))


@pytest.mark.parametrize(("service", "right"), [("bedrock", True), ("bedrock-mantle", True), ("s3", False)])
def test_the_names_of_bedrocks_services_are_taken(service, right):
    path, headers = "/openai/v1/chat/completions", {"content-type": "application/json"}
    credentials = sigv4.Credentials("AKID", "secret")
    added = sigv4.sign(
        "POST", HOST, path, headers, b"{}", credentials=credentials, region="us-east-1", now=1e9, service=service
    )
    signed_ = {"host": HOST, **headers, **{key.lower(): value for key, value in added.items()}}
    assert sigv4.verify("POST", path, signed_, b"{}", "secret", 1e9) == right


def test_a_token_outside_the_signature_is_refused():
    assert not sigv4.verify(
        "POST", "/model/a%3Ab/converse", {**signed(), "x-amz-security-token": "t"}, b"{}", "secret", 1e9
    )


@given(st.text(), st.text(), st.text())
def test_any_header_text_is_only_refused(authorization, date, host):
    for start in ("", "AWS4-HMAC-SHA256 Credential=A/20010909/r/bedrock/aws4_request, SignedHeaders=host;x-amz-date"):
        headers = {"authorization": start + authorization, "x-amz-date": date, "host": host}
        assert not sigv4.verify("POST", "/x", headers, b"", "secret", 1e9)
    headers = signed() | {"host": host, "x-amz-date": "20010909T014640Z"}
    assert not sigv4.verify("POST", "/" + host, headers, b"", "secret", 1e9)


@given(st.integers(0, 253402300799))
def test_dates(seconds):
    wanted = datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    if seconds >= 10_000_000_000:  # strftime does not pad years everywhere
        assert sigv4.amz_date(seconds)[-16:] == wanted[-16:]
    assert sigv4.amz_date(seconds) == wanted
    assert sigv4.unix_seconds(wanted) == seconds


@settings(max_examples=50)
@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda name: name.strip(".")))
def test_paths_are_encoded_as_botocore_does(name):
    path = f"/model/{quote(name, safe='')}/converse"
    with pytest.MonkeyPatch.context() as patch:
        wanted = theirs(patch, path, b"{}", None, 1e9)["Authorization"]
    assert signed(path)["authorization"] == wanted
