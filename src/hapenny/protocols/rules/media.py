"""Documents and images as Bedrock and Anthropic take them."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hapenny.core.errors import invalid
from hapenny.core.messages import Block, Document, Image, Message, Opaque, Text, ToolResult
from hapenny.protocols.bedrock.media import DOCUMENT_FORMATS, document_name
from hapenny.protocols.rules.common import breach, is_blank
from hapenny.protocols.rules.converse import DOCUMENTS, image_limit
from hapenny.protocols.rules.draft import Draft
from hapenny.protocols.rules.images import document_media, media_of
from hapenny.protocols.rules.unchanged import same

ATTACHED = "(See the document.)"
EMPTY = "(empty)"


def attached(draft: Draft) -> None:
    """Media types by their usual names, documents with names of their own, and what no service takes refused.

    Raises:
        Failure: too many documents or images, or one that the service would have to fetch.
    """
    if not any(_shown(block) for message in draft.request.messages for block in message.content):
        return
    names: dict[str, int] = {}
    out: list[Message] = []
    for message in draft.request.messages:
        content = tuple([_block(block, draft, names) for block in message.content])
        out.append(message if same(content, message.content) else replace(message, content=content))
    if draft.subject.service == "converse":
        _counted(out, draft)
        if not draft.native:
            _accompanied(out, draft)
    draft.change(messages=tuple(out))


def _shown(block: Block) -> bool:
    if isinstance(block, ToolResult):
        return any(_shown(inner) for inner in block.content)
    return isinstance(block, Image | Document | Opaque)


def _block(block: Block, draft: Draft, names: dict[str, int]) -> Block:
    if isinstance(block, ToolResult):
        content = tuple([_block(inner, draft, names) for inner in block.content])
        return block if same(content, block.content) else replace(block, content=content)
    if isinstance(block, Image):
        return _image(block, draft)
    if isinstance(block, Document):
        return _document(block, draft, names)
    if isinstance(block, Opaque) and draft.subject.service == "invoke" and not draft.native:
        _fetched(block.payload.get("type"), block.payload.get("source"))
    return block


def _fetched(kind: Any, source: Any) -> None:
    if kind in ("image", "document") and isinstance(source, dict) and source.get("type") in ("url", "file"):
        raise breach("image_by_url", "invoke", path=str(kind)).failure()


def _at_s3(url: str | None, kind: str, draft: Draft) -> None:
    claude = draft.subject.service == "converse" and draft.subject.maker == "claude"
    if claude and not draft.native and url is not None and url.startswith("s3://"):
        raise breach("media_at_s3", "converse", value=kind).failure()


def _image(image: Image, draft: Draft) -> Image:
    if image.data is None:
        _at_s3(image.url, "image", draft)
        if draft.subject.service == "invoke" and not draft.native:
            raise breach("image_by_url", "invoke", path="messages").failure()
        return image
    if not image.data and draft.foreign:
        raise invalid("An image holds no bytes.", "messages", "send the image's bytes, or leave it out")
    media = media_of(image.media_type, image.data)
    if media == image.media_type or (draft.native and draft.subject.service == "openai"):
        return image
    draft.note(f"image={image.media_type or 'unknown'} sent as {media}")
    return replace(image, media_type=media)


def _document(document: Document, draft: Draft, names: dict[str, int]) -> Document:
    service = draft.subject.service
    if document.url is not None and service == "invoke" and not draft.native:
        raise breach("image_by_url", "invoke", path="messages").failure()
    _at_s3(document.url, "document", draft)
    if draft.native or draft.kin:
        return document
    changed: dict[str, Any] = {}
    media = document_media(document.media_type)
    if media.startswith("text/") and media not in DOCUMENT_FORMATS:
        media = "text/plain"
    if media != document.media_type:
        changed["media_type"] = media
        if document.data is not None:
            draft.note(f"document={document.media_type} sent as {media}")
    text = document.text
    if text is None and document.content is not None and document.data is None:
        parts = [part.get("text") for part in document.content if isinstance(part, dict)]
        if len(parts) == len(document.content) and all(isinstance(part, str) for part in parts):
            text = "\n".join(parts)  # type: ignore[arg-type]
            changed |= {"text": text, "content": None, "media_type": "text/plain"}
    if service == "converse":
        cites = document.citations and draft.subject.maker in ("claude", "")
        if document.citations and not cites:
            changed["citations"] = None
            draft.note("citations=not asked for: the model has none")
        if text is not None and not cites:  # text as such is taken with citations alone
            data = (EMPTY if is_blank(text) else text).encode("utf-8", "replace")
            changed |= {"text": None, "data": data, "media_type": "text/plain"}
        changed["name"] = _named(document.name, names, draft)
    return replace(document, **changed) if changed else document


def _named(name: str | None, names: dict[str, int], draft: Draft) -> str:
    """A name that Converse takes and no document before has."""
    wanted = document_name(name)[:190]
    own, number = wanted, names.get(wanted.casefold(), 0)
    while own.casefold() in names:
        number += 1
        own = f"{wanted} ({number + 1})"
    names[wanted.casefold()] = number
    names.setdefault(own.casefold(), 0)
    if own != wanted:
        draft.note("documents=given names of their own: Bedrock takes each name once")
    return own


def _counted(messages: list[Message], draft: Draft) -> None:
    documents = 0
    limit = image_limit(draft.subject)
    for message in messages:
        inside = [inner for block in message.content if isinstance(block, ToolResult) for inner in block.content]
        blocks = [*message.content, *inside]
        documents += sum(isinstance(block, Document) for block in blocks)
        if sum(isinstance(block, Image) for block in blocks) > limit:
            raise breach("image_count", "converse", limit=limit).failure()
    if documents > DOCUMENTS:
        raise breach("document_count", "converse").failure()


def _accompanied(messages: list[Message], draft: Draft) -> None:
    """A turn that holds a document holds a text as well."""
    run: list[int] = []
    role = ""
    for i in range(len(messages) + 1):
        now = ("assistant" if messages[i].role == "assistant" else "user") if i < len(messages) else "end"
        if now == role or not run:
            role = now
            run.append(i)
            continue
        blocks = [block for j in run if messages[j].role != "system" for block in messages[j].content]
        if any(isinstance(b, Document) for b in blocks) and not any(isinstance(b, Text) for b in blocks):
            j = next(j for j in reversed(run) if any(isinstance(b, Document) for b in messages[j].content))
            messages[j] = replace(messages[j], content=(*messages[j].content, Text(ATTACHED)))
            draft.note("documents=sent with a word of text: Bedrock wants one")
        run, role = [i], now
