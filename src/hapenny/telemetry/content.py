"""The content store: the only place where texts may be kept. Off unless a route opts in; sampled by request, redacted,
encrypted at rest, kept for a limited time, and erasable by user.

AES-256-GCM (NIST SP 800-38D) with a fresh nonce for each text and its id and route as associated data, so that texts
cannot be swapped. The key comes from the operator and is never stored. Users are known by a keyed fingerprint alone.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange
from hapenny.core.log import get_logger
from hapenny.core.messages import Request, Text, ToolResult, ToolUse
from hapenny.stores.rows import Record, Rows
from hapenny.telemetry.redact import redact

TABLE = "content"
DAY = 86_400.0
MAX_TEXT = 200_000
"""Characters of one request that are kept at most; the rest is cut, and marked."""
_EARLY = 64


class ContentOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether and how a route keeps texts."""

    key: Annotated[str, Meta(description="32 bytes in base64 (`openssl rand -base64 32`), best from `${ENV}`.")] = ""
    sample: Annotated[float, Meta(description="Share of requests that are kept, 0 to 1; 0 is off.")] = 0.0
    redact: Annotated[
        bool,
        Meta(description="Replace e-mail addresses, numbers of cards and phones and the like before a text is kept."),
    ] = True
    retention_days: Annotated[float, Meta(description="After how many days a text is erased.")] = 30.0
    routes: Annotated[list[str], Meta(description="Routes that opted in; no other route's texts are kept.")] = []

    def __post_init__(self) -> None:
        if not 0 <= self.sample <= 1:
            raise ValueError(f"sample: {self.sample} is no share; give 0 to 1")
        if not 0 < self.retention_days <= 3650:
            raise ValueError(
                f"retention_days: {self.retention_days} keeps texts too long or not at all; give 1 to 3650"
            )
        if self.sample and self.routes and not self.key:
            raise ValueError("key: texts are never kept in the clear; give 32 bytes in base64")


class Rival(Struct, frozen=True):
    """Another model's answer to a kept request. `judges`: the row whose quality a comparison of both is about;
    `candidate`: that is this answer's own row (a probe), else the request's, whose answer this one is the measure of.
    """

    text: str
    judges: str
    model: str
    candidate: bool


class Content(Struct, kw_only=True):
    """The texts of one request."""

    request: str
    route: str
    at: float
    """Epoch seconds."""
    messages: list[tuple[str, str]]
    """(role, text) in order, the system prompt first."""
    answer: str
    cut: bool = False
    corrected: str | None = None
    """The answer as somebody said it should have been."""
    user: str = ""
    """A keyed hash of the user; "" if nobody was named."""
    rival: Rival | None = None
    """The other answer to the same request that an audit asked for."""


class ContentStore:
    """Keeps and finds texts.

    Args:
        options: who opted in, and how.
        rows: where ciphertexts are kept.
        clock: the deployment's clock.

    Raises:
        ImportError: the `content` extra is not installed.
        ValueError: the key is no key.
    """

    def __init__(self, options: ContentOptions, rows: Rows, clock: Clock) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            raise ImportError(
                "the content store encrypts what it keeps, so it stays off without the extra:"
                " pip install 'hapenny[content]'"
            ) from None
        try:
            key = base64.b64decode(options.key, validate=True)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise ValueError("content.key: not 32 bytes in base64; make one with `openssl rand -base64 32`")
        self._options = options
        self._rows = rows
        self._clock = clock
        self._cipher = AESGCM(blake2b(key, digest_size=32, person=b"hapenny-content").digest())
        self._names = blake2b(key, digest_size=32, person=b"hapenny-users").digest()
        self._log = get_logger("hapenny.content")
        self._kept = 0
        self._early: dict[str, Rival] = {}
        self.failures = 0

    def wanted(self, exchange: Exchange) -> bool:
        """Whether this request's texts are kept: its route opted in, it was drawn, and nobody said `no-store`.

        The draw is a hash of the request id: the same everywhere, without any state.
        """
        options = self._options
        if exchange.route not in options.routes or not exchange.delivered or exchange.background:
            return False
        if "no-store" in exchange.context.cache_control or exchange.original.store is False:
            return False
        return self._drawn(exchange.id)

    def _drawn(self, name: str) -> bool:
        draw = int.from_bytes(blake2b(name.encode(), digest_size=8, key=self._names).digest(), "big")
        return draw < self._options.sample * 2**64

    def whole(self, route: str, name: str, at: float, request: Request, user: str | None) -> bool:
        """Whether a request may be kept as it is, to be asked again: its route opted in, `name` (that of all requests
        like it) is drawn, it is of nobody in particular, not older than the retention, and nothing needs redaction."""
        options = self._options
        if route not in options.routes or user or request.user or request.store is False:
            return False
        if at < self._clock.wall() - options.retention_days * DAY or not self._drawn(name):
            return False
        messages, cut = _texts(request)
        return not cut and not (options.redact and any(redact(text) != text for _, text in messages))

    def seal(self, name: str, plain: bytes) -> bytes:
        """Encrypts what is kept elsewhere under `name`."""
        return self._seal(plain, name, "").encode()

    def unseal(self, name: str, sealed: bytes) -> bytes:
        """What `seal` was given.

        Raises:
            ValueError: another key or name, or it was changed.
        """
        from cryptography.exceptions import InvalidTag

        data = base64.b64decode(sealed)
        try:
            return self._cipher.decrypt(data[:12], data[12:], _bound(name, ""))
        except InvalidTag:
            raise ValueError(f"{name}: sealed with another key") from None

    async def keep(self, exchange: Exchange) -> bool:
        """Keeps the texts of a finished exchange if they are wanted. Whether it did; never raises."""
        if not self.wanted(exchange):
            return False
        try:
            await self._keep(exchange)
        except Exception as error:
            self.failures += 1
            self._log.error("content not kept", request=exchange.id, error=error)
            return False
        return True

    async def get(self, request_id: str) -> Content | None:
        """The texts of a request."""
        record = await self._rows.get(TABLE, request_id)
        return None if record is None else self._open(record)

    async def find(
        self, *, route: str | None = None, since: float | None = None, until: float | None = None, limit: int = 100
    ) -> list[Content]:
        """The newest texts, of a route if named."""
        where: Mapping[str, str] = {} if route is None else {"route": route}
        records = await self._rows.find(TABLE, where=where, since=since, until=until, newest=True, limit=limit)
        return [self._open(record) for record in records]

    async def correct(self, request_id: str, answer: str) -> bool:
        """Keeps the answer as it should have been beside the texts of that request; False where none are kept."""
        record = await self._rows.get(TABLE, request_id)
        if record is None:
            return False
        text = redact(answer[:MAX_TEXT]) if self._options.redact else answer[:MAX_TEXT]
        sealed = self._seal(text.encode(), request_id, record.body["route"])
        await self._rows.put(TABLE, request_id, {**record.body, "corrected": sealed}, at=record.at)
        return True

    async def beside(self, exchange: Exchange, rival: Rival) -> bool:
        """Keeps another model's answer beside the texts of that request; False where none are kept."""
        if not self.wanted(exchange):
            return False
        request_id = exchange.id
        record = await self._rows.get(TABLE, request_id)
        if record is None:  # its texts are still being written
            self._early[request_id] = rival
            if len(self._early) > _EARLY:
                del self._early[next(iter(self._early))]
            return True
        text = rival.text[:MAX_TEXT]
        kept = msgspec.structs.replace(rival, text=redact(text) if self._options.redact else text)
        sealed = self._seal(msgspec.msgpack.encode(kept), request_id, record.body["route"])
        await self._rows.put(TABLE, request_id, {**record.body, "rival": sealed}, at=record.at)
        return True

    async def erase_user(self, tenant: str, user: str) -> int:
        """Deletes all texts of a user; how many."""
        return await self._rows.delete(TABLE, where={"user": self._user(tenant, user)})

    async def expire(self) -> int:
        """Deletes what is older than the retention; how many."""
        return await self._rows.delete(TABLE, until=self._clock.wall() - self._options.retention_days * DAY)

    async def _keep(self, exchange: Exchange) -> None:
        context = exchange.context
        user = context.user or exchange.original.user
        messages, cut = _texts(exchange.original)
        answer = exchange.output[:MAX_TEXT]
        if self._options.redact:
            messages = [(role, redact(text)) for role, text in messages]
            answer = redact(answer)
        plain = msgspec.msgpack.encode((messages, answer, cut or len(exchange.output) > MAX_TEXT))
        body: dict[str, Any] = {
            "route": exchange.route,
            "user": self._user(context.tenant, user) if user else None,
            "sealed": self._seal(plain, exchange.id, exchange.route),
        }
        await self._rows.put(TABLE, exchange.id, body, at=self._clock.wall())
        rival = self._early.pop(exchange.id, None)
        if rival is not None:
            await self.beside(exchange, rival)
        self._kept += 1
        if self._kept % 256 == 0:
            await self.expire()

    def _seal(self, plain: bytes, request_id: str, route: str) -> str:
        nonce = os.urandom(12)  # never from a clock whose seed may be fixed
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, plain, _bound(request_id, route))).decode()

    def _opened(self, sealed: str, record: Record) -> bytes:
        data = base64.b64decode(sealed)
        return self._cipher.decrypt(data[:12], data[12:], _bound(record.id, record.body["route"]))

    def _open(self, record: Record) -> Content:
        plain = self._opened(record.body["sealed"], record)
        messages, answer, cut = msgspec.msgpack.decode(plain, type=tuple[list[tuple[str, str]], str, bool])
        corrected, rival = record.body.get("corrected"), record.body.get("rival")
        return Content(
            request=record.id,
            route=record.body["route"],
            at=record.at,
            messages=messages,
            answer=answer,
            cut=cut,
            corrected=self._opened(corrected, record).decode() if corrected else None,
            user=record.body.get("user") or "",
            rival=msgspec.msgpack.decode(self._opened(rival, record), type=Rival) if rival else None,
        )

    def _user(self, tenant: str, user: str) -> str:
        return blake2b(f"{tenant}\0{user}".encode(), digest_size=16, key=self._names).hexdigest()


def _bound(request_id: str, route: str) -> bytes:
    return f"{request_id}\0{route}".encode()


def _texts(request: Request) -> tuple[list[tuple[str, str]], bool]:
    room, cut = MAX_TEXT, False
    texts: list[tuple[str, str]] = []
    turns = [("system", request.system), *((message.role, message.content) for message in request.messages)]
    for role, blocks in turns:
        parts: list[str] = []
        for block in blocks:
            match block:
                case Text():
                    parts.append(block.text)
                case ToolUse():
                    parts.append(f"{block.name}({block.arguments})")
                case ToolResult():
                    parts.extend(inner.text for inner in block.content if isinstance(inner, Text))
                case _:
                    parts.append(f"[{type(block).__name__.lower()}]")
        text = "\n".join(parts)
        if text:
            cut = cut or len(text) > room
            texts.append((role, text[:room]))
            room -= min(room, len(text))
    return texts, cut
