"""Bedrock's format words and the media types they stand for."""

from __future__ import annotations

import re

IMAGES = {"png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}

DOCUMENTS = {
    "pdf": "application/pdf",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html",
    "txt": "text/plain",
    "md": "text/markdown",
}

IMAGE_FORMATS = {media: word for word, media in IMAGES.items()} | {"image/jpg": "jpeg"}
DOCUMENT_FORMATS = {media: word for word, media in DOCUMENTS.items()}

_UNTAKEN = re.compile(r"[^A-Za-z0-9\s\-()\[\]]+")
_SPACES = re.compile(r"\s+")


def document_name(name: str | None) -> str:
    """`name` in the letters that Converse takes for documents."""
    return _SPACES.sub(" ", _UNTAKEN.sub("-", name or "document")).strip()[:200] or "document"
