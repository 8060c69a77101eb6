"""Bytes of a file as text: byte-order marks wherever they stand, UTF-8, else the likeliest encoding."""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 200_000
_JAPANESE = ("euc_jp", "cp932")
_KANA = re.compile("[\u3041-\u30fe]")
_LEAST_KANA = 0.2
"""Share of kana from which a text is Japanese: read in any other encoding, their bytes are signs of all kinds."""


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
    encoding = next((each for each in _JAPANESE if _has_kana(data[:_SAMPLE], each)), "") or _likeliest(data[:_SAMPLE])
    text = data.decode(encoding, "replace")
    lost = ", and some characters could not be read" if "\ufffd" in text else ""
    return text, f"is not UTF-8; read as {encoding}{lost}"


def _has_kana(sample: bytes, encoding: str) -> bool:
    wide = sum(byte >= 0x80 for byte in sample) / 2
    text = codecs.getincrementaldecoder(encoding)("replace").decode(sample)  # a sign cut off by the sample is no fault
    return "\ufffd" not in text and len(_KANA.findall(text)) >= max(2.0, _LEAST_KANA * wide)


def _likeliest(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    return best.encoding if best is not None else "cp1252"
