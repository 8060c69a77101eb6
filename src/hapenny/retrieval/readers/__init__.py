"""Readers: files and rows as documents, with who may see them and what was left out."""

from hapenny.retrieval.readers.files import (
    SUFFIXES,
    Reading,
    UnreadableFile,
    files,
    known,
    load,
    markdown_title,
    pdf_text,
    read,
    unread,
)
from hapenny.retrieval.readers.page import html_text
from hapenny.retrieval.readers.row_documents import from_rows

__all__ = [
    "SUFFIXES", "Reading", "UnreadableFile", "files", "from_rows", "html_text", "known", "load", "markdown_title",
    "pdf_text", "read", "unread",
]  # fmt: skip
