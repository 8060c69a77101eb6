"""Addresses in parts: nothing in a path changes where it leads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.backends.url import address, origin
from hapenny.core.errors import Failure


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://api.openai.com/v1", (True, "api.openai.com", 443, "api.openai.com", "/v1")),
        ("http://localhost:8000/", (False, "localhost", 8000, "localhost:8000", "")),
        ("http://[::1]:80/a/b/", (False, "::1", 80, "[::1]:80", "/a/b")),
        ("https://user:secret@host/", (True, "host", 443, "host", "")),
    ],
)
def test_a_base_url_in_parts(text, parts):
    assert tuple(origin(text)) == parts


@pytest.mark.parametrize(
    "text", ["", "api.openai.com", "ftp://h", "http://", "http://h?x", "http://h/#x", "http://h/a b"]
)
def test_what_is_no_base_url(text):
    with pytest.raises(ValueError):
        origin(text)


def test_a_path_stands_on_the_origin():
    url = origin("https://h/v1").at("/chat/completions?a=b%2F")
    assert (url.target, url.path, url.query) == ("/v1/chat/completions?a=b%2F", "/v1/chat/completions", "a=b%2F")
    assert address("http://h/a/b/?c=d").target == "/a/b/?c=d"
    assert address("http://h").target == "/"


@given(st.text(st.characters(codec="utf-8"), max_size=40), st.sampled_from(["http://h", "https://h:8443/v1"]))
def test_no_path_reaches_into_the_origin(path, base):
    place = origin(base)
    try:
        url = place.at(path)
    except Failure as failure:
        assert failure.kind == "invalid_request"
        return
    assert url.origin is place
    assert url.target == place.base + path
    assert path.startswith("/")
    assert not any(character <= " " or character > "~" or character == "#" for character in path)
