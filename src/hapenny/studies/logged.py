"""Requests and answers of a log, without their text: what a replay sends, and the provider that answers it.

A log (ledger or trace) holds tokens and times, no text. A replayed request is made of words that say nothing but have
the logged sizes: equal requests of the log become equal requests, prompts that shared a system prompt share it, turns
of a session share their history. `LoggedProvider` answers each with the tokens and at the pace the log holds for it;
where another model is asked than the log's, with that model's pace as the log holds it for other requests.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from msgspec import Struct

from hapenny.backends.contract import Raw
from hapenny.catalog import resolve
from hapenny.core.answer import Source
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    Event,
    Started,
    Stopped,
    StopReason,
    TextDelta,
    Tokens,
    Usage,
)
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Message, Parameters, Request, Text
from hapenny.simulation.prompt import parts
from hapenny.simulation.promptcache import PrefixMatch, PromptCache

_COMMON = (
    "time way year work state part place case week point hand group fact night water room area money story month lot "
    "right study book eye job word side kind head house service friend power hour game line end member law car city "
    "name"
)
_WORDS = _COMMON.split()
"""Common words, a token each in the usual vocabularies."""
_RING = 1 << 14
"""Words after which a text repeats itself."""
_OWN = 12
"""Words with which a text begins that no other begins with."""
MARK = "request "
TURN = 100
"""Tokens of a turn of the history."""
PREFILL = 0.5
"""What of the time to a first token is the prompt's, and is not spent on what a prompt cache holds; assumed."""


class Logged(Struct, frozen=True, kw_only=True):
    """One request of a log. Times in seconds, sizes in tokens."""

    at: float
    """From the first request."""
    identity: str
    """Equal for requests that were equal, as far as the log knows."""
    system: str = ""
    """Equal for requests with the same system prompt."""
    system_tokens: int = 0
    history: str = ""
    """Equal for requests of one session."""
    history_tokens: int = 0
    turns: tuple[tuple[str, int], ...] = ()
    """What of the history the log holds itself: identity and tokens of each message, questions and answers in turn."""
    input_tokens: int = 0
    """The rest of the prompt."""
    output_tokens: int = 0
    cached_tokens: int = 0
    max_tokens: int | None = None
    model: str = ""
    first_s: float | None = None
    """From the call to its first token."""
    rest_s: float | None = None
    """From there to its end."""
    stopped: StopReason = "end_turn"
    """Why the answer ended: one that calls a tool, or was cut, is kept in no cache."""
    stream: bool = True
    cacheable: bool = True
    """Whether the request was deterministic: temperature 0."""

    @property
    def prompt_tokens(self) -> int:
        """The whole prompt."""
        return self.system_tokens + self.history_tokens + self.input_tokens


class Pace(NamedTuple):
    """How a model answered in a log: seconds to the first token, and for each further one."""

    first_s: float
    token_s: float


@functools.cache
def _ring() -> tuple[str, list[int]]:
    """A long text of common words without an order, and where each of its words begins."""
    order = hashlib.shake_256(b"words").digest(_RING)
    text = [_WORDS[each % len(_WORDS)] for each in order]
    return " ".join(text), [0, *itertools.accumulate(len(word) + 1 for word in text)]


def words(seed: str, tokens: int) -> str:
    """So many tokens of text that says nothing, the same for the same seed; a longer text begins as a shorter one."""
    digest = hashlib.blake2b(seed.encode(), digest_size=_OWN + 2).digest()
    pieces = [" ".join([_WORDS[each % len(_WORDS)] for each in digest[: min(tokens, _OWN)]])]  # of no other seed
    text, starts = _ring()
    begin, left = int.from_bytes(digest[_OWN:]) % _RING, tokens - _OWN
    while left > 0:
        end = min(_RING, begin + left)
        pieces.append(text[starts[begin] : starts[end] - 1])
        begin, left = 0, left - (end - begin)
    return " ".join(pieces) if tokens > 0 else ""


def request(row: Logged, model: str, protocol: str = "bedrock") -> Request:
    """The request that stands for a row of a log."""
    messages = []
    for place, (identity, tokens) in enumerate(row.turns):
        text = words(f"answer {identity}", tokens) if place % 2 else _question(identity, tokens)
        messages.append(Message("assistant" if place % 2 else "user", (Text(text),)))
    # The rest in turns of equal size, so that a longer history begins as the shorter one did.
    for left in range(row.history_tokens - sum(tokens for _, tokens in row.turns), 0, -TURN):
        text = words(f"{row.history} {len(messages)}", min(TURN, left))
        messages.append(Message("assistant" if len(messages) % 2 else "user", (Text(text),)))
    if len(messages) % 2:
        messages.append(Message("assistant", (Text("yes"),)))
    messages.append(Message("user", (Text(_question(row.identity, row.input_tokens)),)))
    system = (Text(words("system " + row.system, row.system_tokens)),) if row.system_tokens else ()
    parameters = Parameters(max_tokens=row.max_tokens, temperature=0.0 if row.cacheable else None)
    return Request(
        protocol=protocol,  # type: ignore[arg-type]
        model=model, messages=tuple(messages), system=system, parameters=parameters, stream=row.stream,
    )  # fmt: skip


def _question(identity: str, tokens: int) -> str:
    """A user's message of so many tokens that names the request of the log that it is."""
    return f"{MARK}{identity} {words(identity, max(1, tokens - 2))}"


class _Words:
    """Counts a text that stands for a logged one: each of its words is a token of the log."""

    @staticmethod
    def count(text: str) -> int:
        return text.count(" ") + 1


class LoggedProvider:
    """A backend that answers as the log says. `calls` counts, `unknown` are those for which the log had no pace.

    Args:
        name: the backend's.
        rows: by identity.
        paces: of models that the log has; the last resort is the mean of all.
    """

    def __init__(self, name: str, clock: Clock, rows: Mapping[str, Logged], paces: Mapping[str, Pace]) -> None:
        self.name = name
        self.calls = self.unknown = 0
        self._clock = clock
        self._rows = rows
        self._paces = paces
        known = list(paces.values())
        count = max(1, len(known))
        self._mean = Pace(sum(p.first_s for p in known) / count, sum(p.token_s for p in known) / count)
        self._cache = PromptCache()

    async def call(self, request: Request, target: Target, limits: Limits) -> Source:
        """Raises `Failure` for a request that is not of the log."""
        row = self._rows.get(identity_of(request))
        if row is None:
            raise Failure("upstream", "the log has no such request", upstream_status=500)
        self.calls += 1
        output = max(1, row.output_tokens)
        if target.model == row.model and row.first_s is not None:
            first, rest = row.first_s, row.rest_s or 0.0
        else:
            pace = self._paces.get(target.model)
            if pace is None:
                self.unknown += 1
                pace = self._mean
            first, rest = pace.first_s, pace.token_s * (output - 1)
        prompt = row.prompt_tokens
        tokens_read, share = self._cached(request, row, target)
        read = (
            round(tokens_read.read * share) if tokens_read.read or tokens_read.write else min(row.cached_tokens, prompt)
        )
        first *= 1 - PREFILL * max(0, read - row.cached_tokens) / max(1, prompt)
        write, long = round(tokens_read.write * share), round(tokens_read.write_1h * share)
        tokens = Tokens(
            input=max(0, prompt - read - write - long), output=output, cache_read=read, cache_write=write,
            cache_write_1h=long,
        )  # fmt: skip
        begun = partial(self._cache.keep, tokens_read)
        return _Paced(self._clock, row, target.model, tokens, first, rest, begun)

    def _cached(self, request: Request, row: Logged, target: Target) -> tuple[PrefixMatch, float]:
        """What the provider's prompt cache does, and how long the logged prompt is against its stand-in."""
        card = resolve(target.model)
        if card is None or card.cache_mode is None:
            return PrefixMatch(), 1.0
        prompt = parts(request, _Words())
        share = row.prompt_tokens / max(1, sum(part.tokens for part in prompt))
        scope = f"{target.region}/{target.endpoint}/{target.model}"
        return self._cache.look(scope, card, prompt, self._clock.now()), share

    def notes(self, request: Request, target: Target) -> list[str]:
        """Nothing is changed."""
        return []

    async def count(self, request: Request, target: Target) -> int | None:
        """The log has been counted."""
        return None

    async def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, limits: Limits, region: str = ""
    ) -> Raw:
        """Raises `Failure`: a log answers nothing but its requests."""
        raise Failure("not_found", f"a replay does not answer {method} {path.partition('?')[0]}")

    async def aclose(self) -> None:
        """Nothing to let go of."""


def identity_of(request: Request) -> str:
    """The identity that a replayed request carries; "" for another."""
    text = request.messages[-1].text if request.messages else ""
    return text[len(MARK) :].partition(" ")[0] if text.startswith(MARK) else ""


class _Paced:
    """An answer of the log at its pace: the first words, then the rest."""

    __slots__ = ("_begun", "_clock", "_closed", "_events")

    def __init__(
        self, clock: Clock, row: Logged, model: str, tokens: Tokens, first: float, rest: float,
        begun: Callable[[float], None],
    ) -> None:  # fmt: skip
        text = "answer " + row.identity
        whole = words(text, max(1, tokens.output - 2))
        self._clock = clock
        self._closed = False
        self._begun: Callable[[float], None] | None = begun
        self._events: list[tuple[float, Sequence[Event]]] = [
            (first, (Started("logged", model, clock.wall()), BlockStarted(0, "text"), TextDelta(text))),
            (rest, (TextDelta(" " + whole), BlockStopped(0), Stopped(row.stopped), Usage(tokens))),
        ]

    async def read(self) -> Sequence[Event] | None:
        """The next batch when it is due."""
        if self._closed or not self._events:
            return None
        seconds, events = self._events[0]
        if seconds > 0:
            await self._clock.sleep(seconds)
        if self._begun is not None:
            self._begun(self._clock.now())
            self._begun = None
        if self._events:
            self._events.pop(0)
        return events

    def close(self) -> None:
        """Drops what is left."""
        self._closed = True
