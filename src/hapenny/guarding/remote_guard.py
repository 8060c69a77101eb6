"""A provider's guardrail beside our own rules: asked about what is new, within its deadline.

A text that it let through is remembered by a keyed digest, so that a conversation's earlier turns are not paid for
with every new one. It is forgotten with the process, and where the guardrail changes its configuration changes with
it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange
from hapenny.core.guardrails import Direction, GuardRequest, Verdict
from hapenny.core.stage import Ask
from hapenny.guarding.options import GuardrailOptions

_REMEMBERED = 50_000


class Ruling(NamedTuple):
    """What a guardrail made of texts: as they may go on, why they may not, and what to say instead."""

    texts: tuple[str, ...]
    blocked: str = ""
    message: str = ""
    found: tuple[str, ...] = ()


class RemoteGuard:
    """Asks one guardrail.

    Args:
        name: of the guardrail in the configuration.
        options: its deadline, and what happens where it fails.
        technique: the stage that pays.
        secret: keys the digests of what it let through.
    """

    def __init__(self, name: str, options: GuardrailOptions, technique: str, secret: bytes = b"") -> None:
        self.name = name
        self._options = options
        self._technique = technique
        self._secret = hashlib.blake2b(secret, digest_size=32).digest()
        self._passed: OrderedDict[bytes, str | None] = OrderedDict()

    async def judge(self, exchange: Exchange, ask: Ask, texts: Sequence[str], direction: Direction) -> Ruling:
        """The texts as they may go on; only those are sent that were not judged before.

        Raises:
            Failure: `unavailable`, where it does not answer and failing closed is configured.
        """
        tenant = exchange.context.tenant
        keys = [self._digest(tenant, direction, text) for text in texts]
        new = [place for place, key in enumerate(keys) if key not in self._passed and texts[place].strip()]
        kinds: tuple[str, ...] = ()
        out = [
            text if (known := self._passed.get(key)) is None else known for text, key in zip(texts, keys, strict=True)
        ]
        if new:
            asked = GuardRequest(texts=tuple(texts[place] for place in new), direction=direction)
            verdict = await self._asked(exchange, ask, asked)
            if verdict is None:
                return Ruling(tuple(out))
            if verdict.blocked:
                return Ruling(tuple(out), verdict.blocked, verdict.message, verdict.found)
            kinds = verdict.found
            for place, text in zip(new, verdict.texts, strict=True):
                out[place] = text
                self._passed[keys[place]] = None if text == texts[place] else text
            while len(self._passed) > _REMEMBERED:
                self._passed.popitem(last=False)
        return Ruling(tuple(out), found=kinds)

    async def _asked(self, exchange: Exchange, ask: Ask, asked: GuardRequest) -> Verdict | None:
        try:
            return await ask.guard(
                exchange, asked, technique=self._technique, model=self.name, deadline=self._options.deadline_s
            )
        except Failure as failure:
            if self._options.on_failure == "open":
                exchange.note(f"guardrail={self.name} did not answer ({failure.kind})")
                return None
            raise Failure(
                "unavailable",
                "The guardrail that has to judge this request did not answer.",
                retry_after=1.0,
                operator=f"guardrails.{self.name}: {failure.kind}: {failure.message}",
            ) from None

    def _digest(self, tenant: str, direction: Direction, text: str) -> bytes:
        written = f"{tenant}\0{direction}\0{text}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(written, digest_size=16, key=self._secret).digest()
