"""What is known of a request that waits (how big, how urgent, whose, by when), and the order in which those that wait
are served. Pure: no clock, no loop.

Between classes: priority first, but each class that waits gets at least one turn in `starve_after`. Between tenants of
a class: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) over tokens, by weight. Within a tenant: short
before long by prompt and predicted answer, where a job of `s` predicted seconds is overtaken only by what arrives
within `stretch * s` after it, so nothing starves; and jobs with the prefix served last go next, in runs of at most
`run`, for the server's prefix cache.
"""

from __future__ import annotations

import enum
import heapq
import math
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import msgspec

from hapenny.core.errors import Unavailable


class Priority(enum.IntEnum):
    """Classes of the queue, first served first."""

    URGENT = 0
    NORMAL = 1
    BACKGROUND = 2


class Job(msgspec.Struct, kw_only=True):
    """One request as the queue sees it. Times are `Clock.now()` seconds, sizes are tokens.

    `input_tokens` counts uncached input, `cached_tokens` what is expected to be read from the provider's prefix cache.
    `predicted_output`: the expected answer size; `max_tokens` when nothing better is known.
    `prefix`: equal for prompts that begin alike (a running hash), "" when unknown.
    `patience`: seconds it may wait for a quota, also after a throttle; the gate's own patience holds besides.
    `cost`: what fair shares and waits are counted in: quota units where there is a quota, else tokens moved.
    """

    input_tokens: int
    max_tokens: int
    predicted_output: int = 0
    cached_tokens: int = 0
    tenant: str = ""
    weight: float = 1.0
    priority: Priority = Priority.NORMAL
    prefix: str = ""
    begin_by: float = math.inf
    finish_by: float = math.inf
    patience: float = math.inf
    arrived: float = 0.0
    cost: float = 0.0
    streamed: bool = True
    hurry: Any = None
    """A `Hurry`, where the answer has a deadline."""

    def __post_init__(self) -> None:
        if self.predicted_output <= 0:
            self.predicted_output = self.max_tokens
        if self.cost <= 0:
            self.cost = float(self.input_tokens + self.cached_tokens + self.predicted_output)

    @property
    def reserved(self) -> float:
        """What a provider sets aside when it starts: its prompt and the limit of its answer."""
        return float(self.input_tokens + self.cached_tokens + self.max_tokens)


ShedKind: TypeAlias = Literal["rate_limited", "overloaded", "provider_account"]


class Shed(Unavailable):
    """The queue turns a request away at once, because no answer could begin in time.

    Its kind is `rate_limited` (429) when a quota is used up, `overloaded` (503) when servers are full or failing,
    `provider_account` (503) when providers refuse the gateway's own account.
    """

    def __init__(self, reason: str, kind: ShedKind, *, retry_after: float) -> None:
        super().__init__(f"{reason}; try again in {retry_after:.1f} s", retry_after=retry_after)
        self.kind = kind


class Entry:
    """A place in the queue."""

    __slots__ = ("job", "rank", "removed", "serial", "tenant")

    def __init__(self, job: Job, tenant: _Tenant, rank: float, serial: int) -> None:
        self.job = job
        self.tenant = tenant
        self.rank = rank
        self.serial = serial
        self.removed = False

    def __lt__(self, other: Entry) -> bool:
        return (self.rank, self.serial) < (other.rank, other.serial)


class _Tenant:
    __slots__ = (
        "by_prefix", "cost", "count", "heap", "klass", "last_prefix", "name", "place", "run", "virtual", "weight",
    )  # fmt: skip

    def __init__(self, name: str, klass: _Class) -> None:
        self.name = name
        self.klass = klass
        self.heap: list[Entry] = []
        self.by_prefix: dict[str, list[Entry]] = {}
        self.count = 0
        self.cost = 0.0
        self.weight = 1.0
        self.virtual = 0.0
        self.place = 0  # serial of this tenant's valid item in the class's heap
        self.last_prefix = ""
        self.run = 0

    def head(self, longest_run: int) -> Entry | None:
        if self.last_prefix and self.run < longest_run:
            same = self.by_prefix.get(self.last_prefix)
            first = _first(same) if same else None
            if first is not None:
                return first
        return _first(self.heap)


class _Class:
    __slots__ = ("active", "jobs", "passed_over", "tenants", "tokens", "virtual")

    def __init__(self) -> None:
        self.tenants: dict[str, _Tenant] = {}
        self.active: list[tuple[float, int, _Tenant]] = []
        self.virtual = 0.0
        self.jobs = 0
        self.tokens = 0.0
        self.passed_over = 0


class FairQueue:
    """Waiting jobs, best next one first. All operations are O(log n)."""

    def __init__(
        self,
        *,
        stretch: float = 0.5,
        run: int = 4,
        starve_after: int = 20,
        tokens_per_s: float = 80.0,
        prompt_tokens_per_s: float = 4_000.0,
    ) -> None:
        self.stretch = stretch
        self.run = run
        self.starve_after = starve_after
        self.tokens_per_s = tokens_per_s
        self.prompt_tokens_per_s = prompt_tokens_per_s
        self._classes: dict[int, _Class] = {}
        self._order: list[int] = []
        self._serial = 0
        self._head: Entry | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, job: Job) -> Entry:
        """Queues `job`; its place is the key for `remove`."""
        klass = self._class(int(job.priority))
        tenant = klass.tenants.get(job.tenant)
        if tenant is None:
            tenant = klass.tenants[job.tenant] = _Tenant(job.tenant, klass)
        self._serial += 1
        # Length in powers of two: small errors of the prediction change nothing.
        whole = job.predicted_output / self.tokens_per_s + job.input_tokens / self.prompt_tokens_per_s
        seconds = 2.0 ** round(math.log2(max(1.0, whole)))
        entry = Entry(job, tenant, job.arrived + self.stretch * (seconds - 1.0), self._serial)
        if tenant.count == 0:
            tenant.virtual = max(tenant.virtual, klass.virtual)
            self._activate(tenant)
        heapq.heappush(tenant.heap, entry)
        if job.prefix:
            heapq.heappush(tenant.by_prefix.setdefault(job.prefix, []), entry)
        tenant.count += 1
        tenant.cost += job.cost
        tenant.weight = max(job.weight, 1e-6)
        klass.jobs += 1
        klass.tokens += job.cost
        self._count += 1
        self._head = None
        return entry

    def peek(self) -> Entry | None:
        """The best next entry; the same one until something is pushed, popped or removed."""
        if self._head is None and self._count:
            klass = self._pick_class()
            while klass.active:
                _, place, tenant = klass.active[0]
                if tenant.count and tenant.place == place:
                    self._head = tenant.head(self.run)
                    break
                heapq.heappop(klass.active)
        return self._head

    def pop(self) -> Entry | None:
        """Takes the best next entry and charges its tokens to its tenant's share."""
        entry = self.peek()
        if entry is not None:
            self.take(entry)
        return entry

    def take(self, entry: Entry) -> None:
        """Takes `entry` out because it is served: its tenant's share is charged."""
        if entry.removed:
            return
        job, tenant = entry.job, entry.tenant
        klass = tenant.klass
        klass.virtual = max(klass.virtual, tenant.virtual)
        tenant.virtual += job.cost / max(job.weight, 1e-6)
        if job.prefix and job.prefix == tenant.last_prefix:
            tenant.run += 1
        else:
            tenant.last_prefix, tenant.run = job.prefix, 1
        self._drop(entry)
        for other in self._order:
            waiting = self._classes[other]
            if waiting is klass:
                waiting.passed_over = 0
            elif waiting.jobs:
                waiting.passed_over += 1
        if tenant.count:
            self._activate(tenant)
        if len(klass.tenants) > 2 * len(klass.active) + 64:
            for name in [t.name for t in klass.tenants.values() if not t.count and t.virtual <= klass.virtual]:
                del klass.tenants[name]

    def remove(self, entry: Entry) -> None:
        """Takes `entry` out unserved (cancelled, hopeless)."""
        if not entry.removed:
            self._drop(entry)

    def ahead(self, priority: int) -> tuple[int, float]:
        """Jobs, and their cost, that wait in `priority` and the classes before it, whosever they are."""
        jobs, tokens = 0, 0.0
        for number in self._order:
            if number <= priority:
                jobs += self._classes[number].jobs
                tokens += self._classes[number].tokens
        return jobs, tokens

    def before(self, job: Job) -> tuple[float, float]:
        """Jobs, and their cost, that would be served before `job` if it were queued now: the classes before it, and of
        its own what its tenant has waiting and the others' fair share up to then."""
        jobs, cost = 0.0, 0.0
        number = int(job.priority)
        for other in self._order:
            if other < number:
                jobs += self._classes[other].jobs
                cost += self._classes[other].tokens
        klass = self._classes.get(number)
        if klass is None or not klass.jobs:
            return jobs, cost
        own = klass.tenants.get(job.tenant)
        if own is not None and own.count == klass.jobs:  # nobody else waits
            return jobs + klass.jobs, cost + klass.tokens
        start = max(klass.virtual, own.virtual if own is not None and own.count else 0.0)
        if own is not None and own.count:
            start += own.cost / max(job.weight, 1e-6)
        for tenant in klass.tenants.values():
            if not tenant.count:
                continue
            served = tenant.cost
            if tenant is not own:  # what of it starts before
                served = min(served, max(0.0, start - tenant.virtual) * tenant.weight + tenant.cost / tenant.count)
            cost += served
            jobs += tenant.count * served / tenant.cost if tenant.cost > 0 else tenant.count
        return jobs, cost

    def entries(self) -> Iterator[Entry]:
        """All waiting entries, in no useful order."""
        for number in self._order:
            for tenant in self._classes[number].tenants.values():
                yield from (entry for entry in tenant.heap if not entry.removed)

    def _activate(self, tenant: _Tenant) -> None:
        self._serial += 1
        tenant.place = self._serial
        heapq.heappush(tenant.klass.active, (tenant.virtual, tenant.place, tenant))

    def _class(self, number: int) -> _Class:
        klass = self._classes.get(number)
        if klass is None:
            klass = self._classes[number] = _Class()
            self._order = sorted(self._classes)
        return klass

    def _pick_class(self) -> _Class:
        chosen: _Class | None = None
        for number in self._order:
            klass = self._classes[number]
            if not klass.jobs:
                continue
            if chosen is None or (klass.passed_over >= self.starve_after and chosen.passed_over < self.starve_after):
                chosen = klass
        assert chosen is not None
        return chosen

    def _drop(self, entry: Entry) -> None:
        entry.removed = True
        job, tenant = entry.job, entry.tenant
        klass = tenant.klass
        tenant.count -= 1
        tenant.cost = max(0.0, tenant.cost - job.cost) if tenant.count else 0.0
        klass.jobs -= 1
        klass.tokens -= job.cost
        self._count -= 1
        self._head = None
        if job.prefix:
            same = tenant.by_prefix[job.prefix]
            if _first(same) is None:
                del tenant.by_prefix[job.prefix]
        if tenant.count == 0:
            tenant.heap.clear()
            tenant.by_prefix.clear()
            if tenant.virtual <= klass.virtual:
                klass.tenants.pop(tenant.name, None)
        if klass.jobs == 0:
            klass.active.clear()
            klass.tenants.clear()
            klass.tokens = 0.0
            klass.virtual = 0.0


def _first(heap: list[Entry]) -> Entry | None:
    while heap and heap[0].removed:
        heapq.heappop(heap)
    return heap[0] if heap else None
