"""Bytes of a file as text: byte-order marks wherever they stand, UTF-8, else the likeliest encoding."""

from __future__ import annotations

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 200_000


def decoded(data: bytes) -> tuple[str, str]:
    """(text, a note where the encoding had to be guessed or characters were lost; else "").

    Marks inside the text, as joined files have them, are dropped; line ends become one kind.
    """
    text, note = _decoded(data)
    return text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n"), note


def _without_mark(data: bytes) -> str:
    """UTF-16 without its mark: plain text in it is valid UTF-8, with a zero byte in every other place."""
    sample = data[:_SAMPLE]
    half = max(1, len(sample) // 2)
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if sample[start::2].count(0) > 0.7 * half and sample[1 - start :: 2].count(0) < 0.1 * half:
            return encoding
    return ""


def _decoded(data: bytes) -> tuple[str, str]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text = data[len(mark) :].decode(encoding, "replace")
            return text, "some characters could not be read" if "\ufffd" in text else ""
    wide = _without_mark(data)
    if wide:
        return data.decode(wide, "replace"), f"has no byte-order mark; read as {wide}"
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError:
        pass
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_SAMPLE]).best()
    encoding = best.encoding if best is not None else "cp1252"
    text = data.decode(encoding, "replace")
    lost = ", and some characters could not be read" if "\ufffd" in text else ""
    return text, f"is not UTF-8; read as {encoding}{lost}"
