"""Media types of images: what their first bytes say, and the names by which clients call them."""

from __future__ import annotations

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_IN_BASE64 = (("iVBORw0KGgo", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"))
ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/jfif": "image/jpeg",
    "image/x-png": "image/png",
    "image/apng": "image/png",
    "image/x-webp": "image/webp",
}
DOCUMENT_ALIASES = {
    "application/x-pdf": "application/pdf",
    "text/x-markdown": "text/markdown",
    "application/csv": "text/csv",
    "text/comma-separated-values": "text/csv",
    "application/json": "text/plain",
    "application/xml": "text/plain",
    "application/x-yaml": "text/plain",
    "application/yaml": "text/plain",
}


def signed_as(data: bytes) -> str | None:
    """The media type that the first bytes of an image tell; None: none we know."""
    for signature, media in _SIGNATURES:
        if data.startswith(signature):
            return media
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def looks_like(text: str) -> str | None:
    """As `signed_as`, from the beginning of base64 text."""
    for start, media in _IN_BASE64:
        if text.startswith(start):
            return media
    return "image/webp" if text.startswith("UklGR") and text[12:16] == "RUJQ" else None


def media_of(stated: str, data: bytes | None) -> str:
    """The media type to send: what the bytes tell, else what was stated by its usual name."""
    plain = stated.partition(";")[0].strip().lower()
    return (signed_as(data) if data is not None else None) or ALIASES.get(plain, plain)


def document_media(stated: str) -> str:
    """A document's media type by its usual name; any other text is plain text."""
    plain = stated.partition(";")[0].strip().lower()
    return DOCUMENT_ALIASES.get(plain, plain)
