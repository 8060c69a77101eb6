"""All namespaces of a deployment's semantic cache: questions, vectors, answers, and the decider of each route."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from hapenny.caching.semantic.decider import Decider, DeciderStats, Looked, Promise
from hapenny.caching.semantic.judging import AnswerJudge, Asks
from hapenny.caching.semantic.memory import Memory
from hapenny.caching.semantic.terms import Terms
from hapenny.caching.store import Entry
from hapenny.caching.stored import Answers, Stored
from hapenny.core.clock import Clock
from hapenny.core.events import TextDelta
from hapenny.core.exchange import Exchange, Policy
from hapenny.vectors import Index, Vectors, open_index

NEAREST = 24
MAX_SPACES = 2_000
MAX_ENTRIES = 50_000
MAX_NAMES = 200
"""Names asked for on a route whose models are watched."""


class _Space:
    """One namespace: everything but the question is the same."""

    def __init__(self, dim: int) -> None:
        self.memory = Memory()
        self.index: Index = open_index(dim)


class _Policy(Struct):
    """What a route's labels were learnt under: its versions and epoch, and the model behind each name asked for."""

    versions: tuple[str, ...]
    models: dict[str, str] = {}


class _Kept(Struct):
    """A route's decider as it is kept over a restart."""

    policy: _Policy | None
    promise: Promise
    state: bytes


class _Dump(Struct):
    embedder: str
    routes: dict[str, _Kept]


class Lookup(Struct):
    """A look-up under way, kept on the exchange (`LOOKED_UP`, never in the ledger)."""

    space: bytes
    route: str
    question: str
    terms: Terms
    vector: Vectors
    looked: Looked
    entry: Entry[Stored] | None = None


class Others(Protocol):
    """Is told of what was learnt and forgotten here. Must neither wait nor raise."""

    def learnt(self, lookup: Lookup, entry: int, kept: Kept, beside: int | None, wrong: bool | None) -> None:
        """A question was stored, beside another one with the same answer; `wrong`: the candidate's label."""

    def labelled(self, route: str, looked: Looked, wrong: bool) -> None:
        """A served answer was reported."""

    def forgotten(self, entry: int) -> None:
        """An entry that was wrong is gone."""


class Kept(Struct, frozen=True):
    """An answer and how it is kept; `at`: since when (epoch seconds), None: now."""

    stored: Stored
    size: int
    ttl: float
    tags: tuple[str, ...]
    at: float | None = None


class SemanticCache:
    """Bounded: 2,000 namespaces, 50,000 questions each, answers in a byte-bounded store of their own."""

    def __init__(self, clock: Clock, answers: Answers, judge: AnswerJudge, *, embedder: str) -> None:
        self._clock = clock
        self._answers = answers
        self._judge = judge
        self._embedder = embedder
        self._spaces: OrderedDict[bytes, _Space] = OrderedDict()
        self._deciders: dict[str, Decider] = {}
        self._policies: dict[str, _Policy] = {}
        self._kept: dict[str, _Kept] = {}
        self._next = 0
        self._places: dict[int, bytes] = {}
        self._served: OrderedDict[str, tuple[str, int, Looked, str]] = OrderedDict()
        self.others: Others | None = None
        """Gateways that learn together with this one."""

    def judged_by(self, asks: Asks | None) -> None:
        """Has open comparisons decided by another model from now on, or by none."""
        self._judge.asks = asks

    def decider(self, route: str, promise: Promise, *, fixed: float | None = None) -> Decider:
        """The route's decider, made on first use; it goes on with what was kept of it under the same promise."""
        decider = self._deciders.get(route)
        if decider is None:
            decider = self._deciders[route] = Decider(promise, self._clock, fixed=fixed)
            kept = self._kept.pop(route, None)
            if kept is not None and kept.promise == promise:
                try:
                    decider.loads(kept.state)
                except (ValueError, msgspec.MsgspecError):  # of another version: it learns anew, no request fails
                    return decider
                if kept.policy is not None:
                    self._policies[route] = kept.policy
        return decider

    def policy(self, route: str, policy: Policy, asked: str = "") -> None:
        """Closes the route's cache when its configuration, prompt version or knowledge epoch changed, or another model
        stands behind the name that was asked for. Users of different arms are no change: their questions lie in
        namespaces of their own.

        Args:
            policy: of the request that looks.
            asked: the name it asked for; two names of one route are no change.
        """
        model, versions = policy.model, (policy.config_version, policy.prompt_version, policy.knowledge_epoch)
        known = self._policies.get(route)
        changed = known is not None and (known.versions != versions or known.models.get(asked, model) != model)
        if known is None or changed:
            known = self._policies[route] = _Policy(versions)
        if asked not in known.models and len(known.models) < MAX_NAMES:
            known.models[asked] = model
        if changed and route in self._deciders:
            self._deciders[route].close("policy changed")

    def dumps(self) -> bytes:
        """Labels, models and thresholds of every route, without a text: what `loads` takes over after a restart."""
        routes = {
            route: _Kept(self._policies.get(route), decider.promise, decider.dumps())
            for route, decider in self._deciders.items()
        }
        return msgspec.msgpack.encode(_Dump(self._embedder, {**self._kept, **routes}))

    def loads(self, data: bytes) -> None:
        """Takes over a dump; one made with another embedder is left out. ValueError or `MsgspecError` on nonsense."""
        dump = msgspec.msgpack.decode(data, type=_Dump)
        if dump.embedder == self._embedder:
            self._kept = {route: kept for route, kept in dump.routes.items() if route not in self._deciders}

    def look(
        self, space: bytes, route: str, question: str, terms: Terms, vector: Vectors, decider: Decider, *,
        tenant: str | None, max_error: float | None = None,
    ) -> Lookup:  # fmt: skip
        """Finds the neighbours and decides. A hit whose answer was evicted, or is not this tenant's, is a miss; without
        a tenant (a route declared shared) answers of all tenants count."""
        there = self._open(space, len(vector))
        hits = there.index.search(vector, NEAREST)
        near = there.memory.neighbours(hits.keys.tolist(), hits.scores.tolist())
        gone = [n.entry for n in near if not self._alive(n.entry)]
        for entry in gone:
            self.remove(entry)
        near = [neighbour for neighbour in near if neighbour.entry not in gone]
        looked = decider.look(terms, near, there.memory, max_error=max_error)
        lookup = Lookup(space, route, question, terms, vector, looked)
        if looked.action == "serve" and looked.candidate is not None:
            entry_ = self._answers.get(_key(looked.candidate.entry))
            if entry_ is not None and tenant in (None, entry_.value.tenant) and entry_.fresh(self._clock.wall()):
                lookup.entry = entry_
        return lookup

    def served(self, request: str, lookup: Lookup, tenant: str = "") -> None:
        """Remembers which entry answered a tenant's request, for feedback; the last 10,000."""
        if lookup.looked.candidate is not None:
            self._served[request] = (lookup.route, lookup.looked.candidate.entry, lookup.looked, tenant)
            while len(self._served) > 10_000:
                self._served.popitem(last=False)

    def feedback(
        self, request: str, tenant: str | None = None, withdraw: Callable[[Entry[Stored]], object] | None = None
    ) -> bool:
        """A hit was reported wrong: its entry goes, its label counts. False if the request is not known as a hit, or
        was another tenant's (None asks nobody). `withdraw` is told the entry, for what was published of it."""
        known = self._served.get(request)
        if known is None or tenant not in (None, known[3]):
            return False
        del self._served[request]
        route, entry, looked, _ = known
        stored = self._answers.peek(_key(entry))
        if stored is not None and withdraw is not None:
            withdraw(stored)
        if self.others is not None:
            self.others.forgotten(entry)
            self.others.labelled(route, looked, True)
        self.remove(entry)
        if route in self._deciders:
            self._deciders[route].report_wrong(looked)
        return True

    async def learn(
        self, exchange: Exchange, lookup: Lookup, stored: Stored, text: str, *,
        size: int, ttl: float, tags: tuple[str, ...], verified: Callable[[Stored], object] | None = None,
        current: Callable[[Stored, float], bool] | None = None,
    ) -> None:  # fmt: skip
        """Stores a miss's question with its answer, after verifying which stored answers it equals (off the path)."""
        decider = self._deciders[lookup.route]
        decider.hidden = self._judge.error
        self._judge.begin(exchange)
        steps = decider.verify(lookup.looked, self._open(lookup.space, len(lookup.vector)).memory)
        answer: int | None = None
        first, wrong = lookup.looked.candidate, None
        try:
            entry = next(steps)
            while True:
                other = self._answers.peek(_key(entry))
                equal: bool | None = False
                if other is not None:
                    equal = await self._judge.equal(exchange, lookup.question, text_of(other.value), text)
                if equal and other is not None and verified is not None:
                    verified(other.value)
                if first is not None and entry == first.entry and equal is not None:
                    wrong = not equal
                entry = steps.send(equal)
        except StopIteration as done:
            answer = done.value
        if current is not None and not current(stored, exchange.wall):
            return  # made from documents that changed meanwhile
        kept = Kept(stored, size, ttl, tags)
        beside = self._open(lookup.space, len(lookup.vector)).memory.member(answer)
        number = self.adopt(lookup.space, lookup.terms, lookup.vector, kept, beside)
        if number is not None and self.others is not None:
            self.others.learnt(lookup, number, kept, beside, wrong)

    def adopt(self, space: bytes, terms: Terms, vector: Vectors, kept: Kept, beside: int | None) -> int | None:
        """Stores a question with its answer, which it shares with the entry `beside` it; its number, None where the
        answer is too large."""
        there = self._open(space, len(vector))
        number = self._next
        self._next += 1
        size = kept.size + 4 * len(vector)
        put = self._answers.put(
            _key(number), kept.stored, size, kept.ttl, kept.tags, tenant=kept.stored.tenant, at=kept.at
        )
        if put is None:
            return None
        answer = there.memory.answer_of(beside) if beside is not None else None
        there.memory.add(number, terms, answer)
        there.index.add([number], vector[None, :])
        self._places[number] = space
        while len(there.memory) > MAX_ENTRIES:
            self.remove(next(iter(there.memory)))
        return number

    def judged(self, space: bytes, entry: int, equal: bool) -> None:
        """Another gateway found out whether an entry was right as a candidate."""
        there = self._spaces.get(space)
        answer = there.memory.answer_of(entry) if there is not None else None
        if there is not None and answer is not None:
            there.memory.judged(entry, answer, equal)

    def learning(self, route: str, versions: tuple[str, ...]) -> Decider | None:
        """The route's decider, where it has one that learns under these versions."""
        policy = self._policies.get(route)
        return self._deciders.get(route) if policy is not None and policy.versions == versions else None

    def versions(self, route: str) -> tuple[str, ...]:
        """What the route's labels are learnt under."""
        policy = self._policies.get(route)
        return policy.versions if policy is not None else ()

    @property
    def embedder(self) -> str:
        """The name of the embedder of questions."""
        return self._embedder

    def remove(self, entry: int) -> bool:
        """Forgets an entry everywhere."""
        space = self._places.pop(entry, None)
        self._answers.delete(_key(entry))
        there = self._spaces.get(space) if space is not None else None
        if there is None:
            return False
        there.memory.remove(entry)
        there.index.remove([entry])
        return True

    def stats(self) -> dict[str, DeciderStats]:
        """Where each route stands."""
        return {route: decider.stats() for route, decider in sorted(self._deciders.items())}

    def judging(self) -> dict[str, float]:
        """How labels came about, what they cost, and the judge's estimated error."""
        return {**msgspec.to_builtins(self._judge.stats), "error": self._judge.error}

    def __len__(self) -> int:
        return len(self._places)

    def _alive(self, entry: int) -> bool:
        """Whether an answer is there and current: one that went stale with its documents is no measure of a new one."""
        answer = self._answers.peek(_key(entry))
        return answer is not None and answer.fresh(self._clock.wall())

    def _open(self, space: bytes, dim: int) -> _Space:
        there = self._spaces.get(space)
        if there is None:
            there = self._spaces[space] = _Space(dim)
            while len(self._spaces) > MAX_SPACES:
                _, old = self._spaces.popitem(last=False)
                for entry in old.memory:
                    self._places.pop(entry, None)
                    self._answers.delete(_key(entry))
        self._spaces.move_to_end(space)
        return there


def _key(entry: int) -> bytes:
    return entry.to_bytes(8, "big") + b"semantic" * 3  # what tells entries apart comes first: it is what is shown


def text_of(stored: Stored) -> str:
    """The text of a stored answer."""
    return "".join(event.text for event in stored.events if isinstance(event, TextDelta))
