"""Targets: a path of this host, read in one way only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.protocols.http1.fields import Malformed
from hapenny.protocols.http1.target import read, sound_host


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/v1/messages?beta=true", "/v1/messages", "beta=true"),
        ("/model/arn%3Aaws%3Abedrock%2Fx/converse", "/model/arn%3Aaws%3Abedrock%2Fx/converse", ""),
        ("/a?b=/../c&d=//&e=@f:1", "/a", "b=/../c&d=//&e=@f:1"),
        ("/a;b=c,d!$&'()*+=:@", "/a;b=c,d!$&'()*+=:@", ""),
        ("/...", "/...", ""),
        ("/.well-known/x.y", "/.well-known/x.y", ""),
        ("http://h/a?b", "/a", "b"),
        ("HTTPS://H/a", "/a", ""),
        ("http://h", "/", ""),
        ("http://h?x", "/", "x"),
    ],
)
def test_what_is_a_path(target: str, path: str, query: str) -> None:
    assert read("GET", target, "h")[1:3] == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        "", "v1/messages", "@evil:80/x", ":80/x", ".evil.example/x", "//evil/x", "http://evil/x", "http://h@evil/x",
        "http://h:1/x", "http:///x", "ftp://h/x", "h:80", "*", "/a#b", "/a\\b", "/a/../b", "/..", "/.", "/a/.",
        "/a/./b", "/a/%2e%2e/b", "/a/.%2E/b", "/%2e", "/a//b", "/a%2f..%2fb", "/a%5c..%5cb", "/%00", "/a%0d%0ab",
        "/a%7f", "/%", "/%2", "/%zz", "/a\x7f", "/é", "/a|b", "/a?b#c", "/a?%zz", "/a\"b", "/<x>", "/" + "a" * 9_000,
    ],
)  # fmt: skip
def test_what_is_none(target: str) -> None:
    with pytest.raises(Malformed):
        read("GET", target, "h")


def test_only_options_asks_about_the_server() -> None:
    assert read("OPTIONS", "*", "h").path == "*"


def test_encoded_slashes_are_told_apart() -> None:
    assert [read("GET", each, "h").folded for each in ("/a%2Fb", "/a%5cb", "/a%20b")] == [True, True, False]


@pytest.mark.parametrize(
    ("host", "sound"),
    [
        ("h", True), ("h:8790", True), ("", True), ("10.0.0.1", True), ("[::1]", True), ("[::1]:80", True),
        ("a_b.c", True), ("a b", False), ("a,b", False), ("a@b", False), ("a/b", False), ("a:b", False),
        ("a:1:2", False), ("[::1", False), ("a?b", False), ("a\\b", False), ("a:1234567", False),
    ],
)  # fmt: skip
def test_hosts(host: str, sound: bool) -> None:
    assert sound_host(host) == sound


@given(st.text(st.characters(codec="ascii"), max_size=60), st.sampled_from(["h", "h:1", ""]))
def test_whatever_is_taken_is_a_path_without_surprises(target: str, host: str) -> None:
    try:
        taken = read("GET", target, host)
    except Malformed:
        return
    assert taken.path.startswith("/")
    assert not taken.path.startswith("//")
    assert not {".", ".."} & set(taken.path.lower().replace("%2e", ".").split("/"))
    assert all(" " < character < "\x7f" for character in taken.raw)
    assert "#" not in taken.raw
    assert target.endswith(taken.raw) or taken.raw.startswith("/?") or taken.raw == "/"
