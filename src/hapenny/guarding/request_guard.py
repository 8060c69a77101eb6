"""A request on its way in, redacted: the texts of its turns, tool results, documents, and the calls it recalls.

Theory of operation. A conversation comes again with every turn, so what a text became is remembered by a keyed
digest, and only new texts are read. A request is rebuilt along the path of what changed; what did not change stays
the same object, so that nobody behind has to look at it again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from hapenny.core.messages import Block, Data, Document, Message, Opaque, Request, Text, ToolResult, ToolUse
from hapenny.guarding import injection
from hapenny.guarding.actions import Action
from hapenny.guarding.policy import Policy
from hapenny.guarding.redaction import Redactor
from hapenny.guarding.streaming import Tally

T = TypeVar("T")

_REMEMBERED = 20_000
_REMEMBERED_CHARACTERS = 8_000_000
INSTRUCTION = "[INSTRUCTION]"
"""What stands in place of a sentence that was taken out."""


class Judged(NamedTuple):
    """A text as it may go on, what was done, and why it is blocked."""

    text: str | None
    """None: as it came."""
    counts: tuple[tuple[str, int], ...]
    blocked: str


class Checked(NamedTuple):
    """A request as it may go on, what was done about it, and why it is blocked."""

    request: Request
    tally: Tally
    blocked: str


class RequestGuard:
    """Redacts requests by one set of rules.

    Args:
        policy: what is done about what is found.
        injections: what is done about known injections in texts that no person wrote.
        system: whether system prompts are read.
        secret: keys the digests of what was read.
    """

    def __init__(self, policy: Policy, injections: Action, *, system: bool = False, secret: bytes = b"") -> None:
        self._policy = policy
        self._injections = injections
        self._system = system
        self._secret = hashlib.blake2b(secret, digest_size=32).digest()
        self._known: OrderedDict[bytes, Judged] = OrderedDict()
        self._characters = 0

    def new(self, request: Request) -> int:
        """About how many characters of a request were not read yet: what `check` will cost."""
        sizes = 0
        for message in request.messages:
            for block in message.content:
                for text in texts_of(block):
                    if len(text) > 2_000 and self._digest(text, False) not in self._known:
                        sizes += len(text)
        return sizes

    def check(self, request: Request) -> Checked:
        """The request after redaction."""
        walk = _Walk(self)
        system = request.system
        if self._system:
            system = walk.blocks(system, foreign=False)
        messages = tuple([walk.message(each) for each in request.messages])
        changed = system is not request.system or any(
            new is not old for new, old in zip(messages, request.messages, strict=True)
        )
        made = replace(request, system=system, messages=messages) if changed else request
        return Checked(made, walk.tally, walk.blocked)

    def text(self, text: str, *, foreign: bool) -> Judged:
        """One text; `foreign`: no person wrote it, so instructions in it are nobody's."""
        key = self._digest(text, foreign)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        tally = Tally()
        redactor = Redactor(self._policy, tally)
        out, blocked = redactor.text(text), redactor.blocked
        if foreign and self._injections != "off" and not blocked:
            instructions = injection.find(text if out == text else out)
            if instructions:
                tally.add(_DONE[self._injections], len(instructions))
                if self._injections == "block":
                    blocked = "injection"
                elif self._injections == "redact":
                    for each in reversed(instructions):
                        out = out[: each.start] + INSTRUCTION + out[each.end :]
        judged = Judged(None if out == text else out, tuple(tally.items()), blocked)
        self._remember(key, judged)
        return judged

    def redactor(self, tally: Tally) -> Redactor:
        """For values that are no plain text."""
        return Redactor(self._policy, tally)

    def _digest(self, text: str, foreign: bool) -> bytes:
        written = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(written, digest_size=16, key=self._secret, person=b"f" if foreign else b"p").digest()

    def _remember(self, key: bytes, judged: Judged) -> None:
        self._known[key] = judged
        self._characters += len(judged.text or "")
        while len(self._known) > _REMEMBERED or self._characters > _REMEMBERED_CHARACTERS:
            _, gone = self._known.popitem(last=False)
            self._characters -= len(gone.text or "")


_DONE = {"note": "noted injection", "redact": "redacted injection", "block": "blocked injection"}


class _Walk:
    """One pass through a request."""

    def __init__(self, guard: RequestGuard) -> None:
        self._guard = guard
        self.tally = Tally()
        self.blocked = ""

    def message(self, message: Message) -> Message:
        """A turn; results of tools in it are foreign."""
        content = self.blocks(message.content, foreign=message.role == "tool")
        return message if content is message.content else replace(message, content=content)

    def blocks(self, blocks: tuple[Block, ...], *, foreign: bool) -> tuple[Block, ...]:
        """The very same tuple where nothing changed."""
        made = tuple([self._block(each, foreign) for each in blocks])
        return blocks if all(new is old for new, old in zip(made, blocks, strict=True)) else made

    def _block(self, block: Block, foreign: bool) -> Block:
        if isinstance(block, Text):
            text = self._text(block.text, foreign)
            return block if text is block.text else replace(block, text=text)
        if isinstance(block, ToolResult):
            content = self.blocks(block.content, foreign=True)
            return block if content is block.content else replace(block, content=content)
        if isinstance(block, ToolUse):
            arguments = self._made(lambda redactor: redactor.arguments(block.arguments))
            return block if arguments == block.arguments else replace(block, arguments=arguments)
        if isinstance(block, Data):
            value = self._made(lambda redactor: redactor.json(block.value))
            self._strings(value)
            return block if value is block.value else replace(block, value=value)
        if isinstance(block, Document):
            return self._document(block)
        if isinstance(block, Opaque):
            payload = self._made(lambda redactor: redactor.json(block.payload))
            return block if payload is block.payload else replace(block, payload=payload)
        return block

    def _document(self, block: Document) -> Document:
        text = self._text(block.text, True) if block.text is not None else None
        content = block.content
        if content is not None:
            whole = list(content)
            made = self._made(lambda redactor: redactor.json(whole))
            content = block.content if all(a is b for a, b in zip(made, content, strict=True)) else tuple(made)
        if text is block.text and content is block.content:
            return block
        return replace(block, text=text, content=content)

    def _text(self, text: str, foreign: bool) -> str:
        judged = self._guard.text(text, foreign=foreign)
        for what, count in judged.counts:
            self.tally.add(what, count)
        self.blocked = self.blocked or judged.blocked
        return text if judged.text is None else judged.text

    def _strings(self, value: object) -> None:
        """Looks for injections in the texts of a tool's JSON; they are noted or block, never edited."""
        waiting, seen = [value], 0
        while waiting and seen < 10_000:
            each = waiting.pop()
            seen += 1
            if isinstance(each, str) and len(each) > 16:
                judged = self._guard.text(each, foreign=True)
                for what, count in judged.counts:
                    if what.endswith("injection"):
                        self.tally.add(what, count)
                        self.blocked = self.blocked or judged.blocked
            elif isinstance(each, dict):
                waiting.extend(each.values())
            elif isinstance(each, list | tuple):
                waiting.extend(each)

    def _made(self, make: Callable[[Redactor], T]) -> T:
        redactor = self._guard.redactor(self.tally)
        made = make(redactor)
        self.blocked = self.blocked or redactor.blocked
        return made


def texts_of(block: Block) -> tuple[str, ...]:
    """The plain texts of a block."""
    if isinstance(block, Text):
        return (block.text,)
    if isinstance(block, ToolResult):
        return tuple(text for each in block.content for text in texts_of(each))
    if isinstance(block, Document) and block.text is not None:
        return (block.text,)
    return ()
