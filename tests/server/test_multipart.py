"""Forms with files, as clients send them, and as nobody should."""

import random

import pytest

from hapenny.core.errors import Failure
from hapenny.server.multipart import form

TYPE = "multipart/form-data; boundary=x1"


def part(name: str, data: bytes, file: str = "") -> bytes:
    more = f'; filename="{file}"' if file else ""
    return f'--x1\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"


def test_fields_and_files() -> None:
    data = bytes(range(256)) * 40 + b"\r\n--x2\r\n--x"
    body = part("purpose", b"batch") + part("file", data, "in.jsonl") + b"--x1--\r\n"
    assert form(TYPE, body) == {"purpose": ("", b"batch"), "file": ("in.jsonl", data)}
    assert form('multipart/form-data; boundary="x1"', b"preamble\r\n" + body)["file"] == ("in.jsonl", data)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", part("a", b"b") + b"--x1--"),
        (TYPE, b""),
        (TYPE, b"no boundary"),
        (TYPE, b"--x1\r\n"),
        (TYPE, part("a", b"b")),
        (TYPE, b"--x1\r\nno head\r\n\r\nb\r\n--x1--"),
        (TYPE, b"--x1\r\nContent-Disposition: form-data; name=\"\xff\"\r\n\r\nb\r\n--x1--"),
        (TYPE, b"--x1\r\n" + b"X: 1\r\n" * 2_000 + b"\r\nb\r\n--x1--"),
        (TYPE, part("a", b"b") * 40 + b"--x1--"),
        (TYPE, b"--x1\r\n\r\n" * 1_000_000),
    ],
)  # fmt: skip
def test_what_is_no_form_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(Failure) as error:
        form(kind, body)
    assert error.value.kind == "invalid_request"


def test_no_bytes_do_anything_but_that() -> None:
    chance = random.Random(2)
    whole = part("purpose", b"batch") + part("file", b"abc", "f") + b"--x1--\r\n"
    for _ in range(2_000):
        at = chance.randrange(len(whole))
        bent = whole[:at] + chance.randbytes(chance.randrange(3)) + whole[at + chance.randrange(4) :]
        try:
            form(TYPE, bent)
        except Failure as failure:
            assert failure.kind == "invalid_request"
