"""Nothing that a client sends is a 500: whatever the endpoint, whatever the bytes."""

import aiohttp
import pytest

from hapenny.server.routes import ROUTES
from tests.server.house import Scripted, serving

DEEP = b'{"model":"strong","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BODIES = {
    "nothing": b"",
    "no JSON": b"nonsense",
    "a list": b"[]",
    "null": b"null",
    "deep": DEEP,
    "deep and open": b'{"a":' * 100_000,
    "no UTF-8": b'{"model": "\xff\xfe", "messages": []}',
    "half a surrogate": b'{"model": "\\ud800", "messages": [{"role": "user", "content": "\\udc00"}]}',
    "a number of 5,000 digits": b'{"most": ' + b"9" * 5_000 + b', "limit": ' + b"9" * 5_000 + b"}",
    "a float beyond floats": b'{"most": 1e999, "temperature": -1e999}',
    "NUL": b'{"model": "\\u0000", "query": "\\u0000", "request_id": "\\u0000"}',
    "UTF-16": '{"model": "strong"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"model": "strong"}',
    "a form": b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x--\r\n',
    "keys twice": b'{"model": "strong", "model": 1, "messages": 1, "messages": []}',
    "other kinds": b'{"model": 1, "messages": "x", "endpoint": [], "input_file_id": {}, "query": 1, "layer": []}',
}
QUERIES = ("", "?limit=" + "9" * 5_000, "?limit=-1", "?limit=%00", "?after=%ff%fe", "?limit=1&limit=x&%zz"[:16])


def path(pattern: str) -> str:
    """The pattern with something in its places."""
    segments = []
    for segment in pattern.split("/"):
        segments.append("x%20y" if segment.startswith("{") else segment)
    return "/".join(segments)


@pytest.mark.parametrize("batch", [False, True])
async def test_no_body_and_no_query_breaks_an_endpoint(tmp_path, batch):
    extra = f"batch: {{journal: {tmp_path / 'jobs'}}}" if batch else ""
    async with serving(tmp_path, Scripted(), extra=extra) as (url, _), aiohttp.ClientSession() as session:
        for route in ROUTES:
            for method in route.methods:
                for name, body in BODIES.items():
                    if method in ("GET", "HEAD") and name not in ("nothing", "deep"):
                        continue
                    for kind in ("application/json", "multipart/form-data; boundary=x"):
                        headers = {"content-type": kind}
                        async with session.request(
                            method, url + path(route.path), data=body, headers=headers
                        ) as answer:
                            text = await answer.text(errors="replace")
                            assert answer.status < 500, (method, route.path, name, text[:300])
                if method == "GET":
                    for query in QUERIES:
                        target = aiohttp.client.URL(url + path(route.path) + query, encoded=True)
                        async with session.get(target) as answer:
                            assert answer.status < 500, (route.path, query[:30])


async def test_a_deep_body_is_refused_in_words(tmp_path):
    extra = f"batch: {{journal: {tmp_path / 'jobs'}}}"
    async with serving(tmp_path, Scripted(), extra=extra) as (url, _), aiohttp.ClientSession() as session:
        for where in ("/v1/batches", "/v1/chat/completions", "/v1/messages"):
            async with session.post(url + where, data=DEEP) as answer:
                assert answer.status == 400
                assert "deep" in (await answer.json())["error"]["message"]
