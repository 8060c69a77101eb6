"""Drives batches to their deadline: a provider's batch where it is cheaper and in time, the local engine for the rest.

Every step that costs money is written down before it is taken: an intent with its token, then the job it became. After
a crash the intent is repeated with the same token, which gives the same job. Results are joined by record id; failed
records alone are sent again; when the time left is only just enough to send what is missing one by one, jobs are
stopped, what they processed is kept, and the rest is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from hapenny.batch.begun import Begun, open_since
from hapenny.batch.journal import Journal, Log
from hapenny.batch.local import Local
from hapenny.batch.options import BatchOptions
from hapenny.batch.records import BatchProvider, BatchRefused, Record, Result, in_doubt
from hapenny.batch.state import Batch, Part, load, named
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.log import get_logger

_log = get_logger("hapenny.batches")
LONGEST_ID = 512
"""Characters of a record's id."""
_BEGUN = "begun.jsonl"
EXPIRED = "the deadline passed before the record was answered"
"""Why a record has no answer for which it is too late."""
GRACE_S = 3600.0
"""How long after its deadline what is missing of a batch is still asked for."""


class Status(msgspec.Struct, frozen=True):
    """How a batch stands. `saved_share`: of what it would have cost on demand, by record. `refused`: why providers did
    not take jobs."""

    id: str
    state: str
    total: int
    succeeded: int
    failed: int
    batched: int
    on_demand: int
    saved_share: float
    late: bool
    refused: tuple[str, ...] = ()
    in_doubt: int = 0
    """Records of which it is or was in doubt whether they had been answered when a process was killed."""
    held: int = 0
    """Those of them that end as errors until somebody says that they be asked again."""


class Prepared(NamedTuple):
    """A batch whose records are on disk and which nobody works on yet."""

    id: str
    model: str
    """Of the records that name none of their own."""
    records: tuple[Record, ...]


class BatchEngine:
    """Runs the batches of one journal."""

    def __init__(
        self,
        journal: Journal,
        providers: Mapping[str, BatchProvider],
        local: Local,
        clock: Clock,
        options: BatchOptions | None = None,
    ) -> None:
        self.journal = journal
        self.providers = dict(providers)
        self.local = local
        self.clock = clock
        self.options = options or BatchOptions()
        self.batches = load(journal)
        for entry in journal.entries:
            if entry["kind"] == "pace":  # what was learnt before
                local.per_s = entry["per_s"]

    def submit(
        self,
        records: Sequence[Record],
        model: str,
        within_s: float,
        *,
        key: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> str:
        """Takes a batch in; when this returns it survives anything.

        Args:
            model: of the records that name none of their own.
            key: the caller's idempotency key; a batch that was taken in under it before is returned instead.

        Raises:
            ValueError: ids are given twice or are too long, or a record has no model.
            OSError: the journal cannot be written; nothing was taken in.
        """
        known = self.known(key)
        return known or self.enter(self.prepare(records, model), within_s, key=key, metadata=metadata)

    def known(self, key: str) -> str | None:
        """The batch that was taken in under this idempotency key before."""
        return next((batch.id for batch in self.batches.values() if batch.key == key), None) if key else None

    def prepare(self, records: Sequence[Record], model: str) -> Prepared:
        """The long part of taking a batch in: checks and writes its records. It may run in a thread: nothing counts
        before `enter`. Raises as `submit`."""
        ids = {record.id for record in records}
        if len(ids) != len(records):
            raise ValueError("two records have the same id; results are joined by it")
        if any(len(id) > LONGEST_ID for id in ids):
            raise ValueError(f"a record's id is longer than {LONGEST_ID} characters")
        if not records:
            raise ValueError("a batch needs at least one record")
        if not model and any(not record.model for record in records):
            raise ValueError("a record names no model, and the batch neither")
        id = self.clock.new_id("batch_")
        self.journal.write_lines(f"{id}/input.jsonl", ((record.id, record) for record in records))
        return Prepared(id, model, tuple(records))

    def enter(
        self, prepared: Prepared, within_s: float, *, key: str = "", metadata: dict[str, Any] | None = None
    ) -> str:
        """The short part: from now on the batch is one of ours. Raises `OSError`; then nothing was taken in."""
        now = self.clock.wall()
        entry = self.journal.append(
            "batch",
            id=prepared.id,
            model=prepared.model,
            created=now,
            deadline=now + within_s,
            count=len(prepared.records),
            key=key,
            metadata=metadata or {},
        )
        self.batches[prepared.id] = Batch(self.journal, entry, prepared.records)
        return prepared.id

    async def run(self, *ids: str) -> None:
        """Works on the batches named (all open ones by default) until they are done."""
        workers: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                wanted = [self.batches[id] for id in ids] if ids else list(self.batches.values())
                for batch in wanted:
                    if not batch.done and batch.id not in workers:
                        workers[batch.id] = asyncio.get_running_loop().create_task(self._work(batch))
                if not workers:
                    return
                # Also wakes now and then for batches that were taken in meanwhile.
                done, _ = await asyncio.wait(
                    list(workers.values()), timeout=self.options.poll_s, return_when=asyncio.FIRST_COMPLETED
                )
                for id in [id for id, task in workers.items() if task in done]:
                    workers.pop(id).result()
        finally:
            for task in workers.values():
                task.cancel()
            await asyncio.gather(*workers.values(), return_exceptions=True)

    async def _work(self, batch: Batch) -> None:
        while not batch.done:
            try:
                await self.step(batch)
            except Failure as failure:
                # A control plane that cannot be reached now may be later; the journal knows what was begun.
                _log.warning("a batch waits for its provider", batch=batch.id, error=str(failure))
            except OSError as error:
                _log.warning("a batch waits for the disk of its journal", batch=batch.id, error=str(error))
            if not batch.done:
                await self.clock.sleep(self.options.poll_s)

    async def step(self, batch: Batch) -> None:
        """One look at a batch: collects what is ready, sends what is missing."""
        self._save(batch)
        self._look_back(batch)
        for part in [p for p in batch.parts.values() if not p.collected]:
            await self._look(batch, part)
        missing = batch.missing(self.options.attempts)
        if batch.cancelled:
            missing = []
        if missing and self.clock.wall() >= batch.deadline + GRACE_S:
            self._expire(batch, missing)
            missing = []
        # The last attempt is not a job's: alone a request is shaped for its model, and fails for itself.
        last = max(1, self.options.attempts - 1)
        rest = [id for id in missing if batch.attempts.get(id, 0) >= last]
        for model, ids in batch.by_model([id for id in missing if batch.attempts.get(id, 0) < last]).items():
            rest += await self._defer(batch, model, ids, len(missing))
        stay = set(rest)
        missing = [id for id in missing if id in stay]
        # Few left over while a job runs may share its retry; at the end, or in a hurry, they go one by one.
        if missing and (self._hurry(batch, len(missing)) or all(p.collected for p in batch.parts.values())):
            await self._send(batch, missing)
        left = batch.missing(self.options.attempts) if not batch.cancelled else []
        if not left and all(part.collected for part in batch.parts.values()):
            self._note(batch, "done", at=self.clock.wall())

    async def _defer(self, batch: Batch, model: str, ids: list[str], of: int) -> list[str]:
        """Hands what can wait to providers; returns the ids that stay. `of`: how many are missing in all."""
        while ids:
            provider = self.choose(batch, model, len(ids), of)
            if provider is None:
                break
            chunk, ids = ids[: provider.most], ids[provider.most :]
            if len(ids) and len(ids) < provider.least:  # leave no rest too small for a job of its own
                keep = min(len(chunk) - provider.least, provider.least - len(ids))
                if keep > 0:
                    ids = chunk[len(chunk) - keep :] + ids
                    chunk = chunk[: len(chunk) - keep]
            part = self._intend(batch, provider, chunk)
            await self._look(batch, part)
            if part.refused:
                ids = chunk + ids
                break
        return ids

    def lead_s(self, count: int) -> float:
        """Seconds from now until a batch of so many records is done at the latest, if it is to go by job."""
        slowest = max((self._turnaround(provider) for provider in self.providers.values()), default=0.0)
        handing_in = self.options.poll_s + 1.0 + 0.002 * count  # written, synced and looked at first
        return slowest + self.options.margin_s + self.local.seconds(count) + handing_in

    def forget(self, id: str) -> None:
        """Empties the records of a batch that is done; how they ended stays known."""
        self.batches[id].empty()

    def delete(self, id: str) -> None:
        """Removes a batch that is done: what its records say and what was answered. Raises `OSError`."""
        batch = self.batches[id]
        self._note(batch, "deleted")
        self.forget(id)
        for part in batch.parts:
            self.journal.remove(f"{id}/results-{part}.jsonl")
        self.journal.remove(f"{id}/local.jsonl")
        self.journal.remove(f"{id}/{_BEGUN}")
        batch.results = {}

    def again(self, id: str, within_s: float) -> int:
        """Has the records of a batch that are held asked again, and opens it where it was done: how many these are.
        Raises `OSError`."""
        batch = self.batches[id]
        held = batch.held()
        if held:
            doubts = {each: batch.doubts[each] for each in held}
            deadline = max(batch.deadline, self.clock.wall() + within_s)
            self._note(batch, "again", ids=held, doubts=doubts, deadline=deadline)
        return len(held)

    async def cancel(self, id: str) -> None:
        """Stops a batch; results so far are kept."""
        batch = self.batches[id]
        if not batch.done and not batch.cancelled:
            self._note(batch, "cancelled", at=self.clock.wall())
            for part in batch.parts.values():
                if not part.collected and part.job:
                    with contextlib.suppress(Failure):  # it has ended, or will be stopped at the next look
                        await self.providers[part.provider].stop(part.job)
                    self._note(batch, "stopping", part=part.number, at=self.clock.wall())

    def results(self, id: str) -> list[Result]:
        """Results so far, in the order of the records."""
        batch = self.batches[id]
        return [batch.results[key] for key in batch.records if key in batch.results]

    def status(self, id: str) -> Status:
        """How a batch stands."""
        batch = self.batches[id]
        good = {key for key, result in batch.results.items() if result.output is not None}
        if batch.done:
            state = "cancelled" if batch.cancelled else "completed"
        else:
            state = "cancelling" if batch.cancelled else "in_progress"
        return Status(
            id=id,
            state=state,
            total=len(batch.records),
            succeeded=len(good),
            failed=sum(r.output is None and not batch.again(r, self.options.attempts) for r in batch.results.values()),
            batched=len(batch.batched),
            on_demand=len(good) - len(batch.batched),
            saved_share=sum(1 - price for price in batch.batched.values()) / max(1, len(good)),
            late=self.clock.wall() > batch.deadline and not batch.done,
            in_doubt=len(batch.doubts),
            held=len(batch.held()),
            refused=tuple(dict.fromkeys(f"{p.provider}: {p.refused}" for p in batch.parts.values() if p.refused)),
        )

    def choose(self, batch: Batch, model: str, count: int, of: int) -> BatchProvider | None:
        """The cheapest provider that takes so few records and will be done in time; None: send them here."""
        left = batch.deadline - self.clock.wall() - self.options.margin_s - self.local.seconds(of)
        refused = {
            part.provider
            for part in batch.parts.values()
            if (part.refused and batch.model_of(part.ids[0]) == model)
            or part.stopping_since is not None  # too slow for this batch once
        }
        fit = [
            p
            for p in self.providers.values()
            if p.price < 1
            and count >= p.least
            and self._turnaround(p) <= left
            and p.name not in refused
            and p.serves(model)
        ]
        return min(fit, key=lambda p: (p.price, self._turnaround(p)), default=None)

    def _turnaround(self, provider: BatchProvider) -> float:
        """How long a job of the provider takes: the longest of the last few, else what is said of it."""
        took = [s for batch in self.batches.values() for s in batch.took.get(provider.name, ())]
        return max(took[-8:], default=provider.turnaround_s)

    def _hurry(self, batch: Batch, count: int) -> bool:
        """Whether the time left is only just enough to send `count` records one by one."""
        return self.clock.wall() + self.local.seconds(count) + self.options.margin_s >= batch.deadline

    def _intend(self, batch: Batch, provider: BatchProvider, ids: list[str]) -> Part:
        number = len(batch.parts)
        self.journal.write_lines(f"{batch.id}/part-{number}.json", ((id, id) for id in ids))
        token = f"{batch.id}-{number}".replace("_", "-")
        self._note(batch, "intent", part=number, provider=provider.name, token=token, price=provider.price)
        return batch.parts[number]

    async def _look(self, batch: Batch, part: Part) -> None:
        """One look at a job. One that nobody can be asked about is given up on when the time left says so."""
        try:
            await self._ask(batch, part)
        except (Failure, OSError):
            now = self.clock.wall()
            if not self._hurry(batch, self._waiting(batch)):
                raise
            if part.stopping_since is None:
                self._note(batch, "stopping", part=part.number, at=now)
            elif now - part.stopping_since > self.options.stop_s:
                self._note(batch, "refused", part=part.number, reason="the provider could not be reached")

    async def _ask(self, batch: Batch, part: Part) -> None:
        provider = self.providers.get(part.provider)
        if provider is None:
            raise Failure("unavailable", f"the batch engine {part.provider!r} is not configured any more")
        records = [batch.full(id) for id in part.ids]
        if not part.job:
            try:
                job = await provider.create(part.token, batch.model_of(part.ids[0]), records)
            except BatchRefused as refused:
                self._note(batch, "refused", part=part.number, reason=str(refused))
                return
            self._note(batch, "created", part=part.number, job=job, at=self.clock.wall())
        status = await provider.status(part.job)
        now = self.clock.wall()
        hurry = self._hurry(batch, self._waiting(batch))
        if status.state == "running" and part.stopping_since is None and hurry:
            await provider.stop(part.job)
            self._note(batch, "stopping", part=part.number, at=now)
            status = await provider.status(part.job)
        if status.state == "failed":
            self._note(batch, "refused", part=part.number, reason=status.message)
            return
        gone = part.stopping_since is not None and now - part.stopping_since > self.options.stop_s
        if status.state == "running" and not gone:
            return
        ids = set(part.ids)
        results = [result for result in await provider.results(part.job, records) if result.id in ids]
        self.journal.write_lines(f"{batch.id}/results-{part.number}.jsonl", named(results))
        self._note(batch, "collected", part=part.number, at=now)
        for result in results:
            batch.take(result, price=part.price)

    def _waiting(self, batch: Batch) -> int:
        """Records in jobs that are not collected."""
        return sum(len(p.ids) for p in batch.parts.values() if not p.collected)

    def _look_back(self, batch: Batch) -> None:
        """What a process that ended had sent alone and not seen the end of is in doubt. Raises `OSError`."""
        path = self.journal.folder / batch.id / _BEGUN
        lost = [] if batch.looked_back else batch.unanswered(open_since(path))
        if lost:
            with contextlib.closing(self.journal.log(f"{batch.id}/local.jsonl")) as log:
                for id in lost:
                    self._kept(batch, log, in_doubt(id))
            _log.warning("it is in doubt whether records were answered", batch=batch.id, count=len(lost))
        batch.looked_back = True
        self._save(batch)  # what is not on disk is still told by the marks
        self.journal.remove(f"{batch.id}/{_BEGUN}")

    async def _send(self, batch: Batch, ids: list[str]) -> None:
        ids = sorted(ids, key=batch.doubts.__contains__)  # what may be paid for already comes last
        path = self.journal.folder / batch.id / _BEGUN
        with (
            contextlib.closing(self.journal.log(f"{batch.id}/local.jsonl")) as log,
            contextlib.closing(Begun(path, sync=self.options.in_doubt == "hold")) as begun,
        ):
            keep = begun.keeping(partial(self._kept, batch, log))
            await self.local.run([batch.full(id) for id in ids], keep, batch.deadline + GRACE_S, begun)
        self._save(batch)
        if len(ids) >= 10:
            self._note(batch, "pace", per_s=self.local.per_s)

    def _expire(self, batch: Batch, ids: Sequence[str]) -> None:
        """Ends records for which it is too late, as when nobody worked on the batch until long after its deadline."""
        with contextlib.closing(self.journal.log(f"{batch.id}/local.jsonl")) as log:
            for id in ids:
                result = Result(id, error=EXPIRED, retryable=False)
                self._kept(batch, log, result)
        self._save(batch)

    def _save(self, batch: Batch) -> None:
        """Writes what could not be written before. Raises `OSError`: it still cannot."""
        if batch.unsaved:
            with contextlib.closing(self.journal.log(f"{batch.id}/local.jsonl")) as log:
                _flush(batch, log)

    def _kept(self, batch: Batch, log: Log, result: Result) -> bool:
        """Takes a result; whether it is on disk. If not it waits in memory: it is not lost, nor asked for again."""
        if result.doubt:
            result = msgspec.structs.replace(result, retryable=self.options.in_doubt == "again")
        batch.take(result)
        batch.unsaved.append(result)
        try:
            _flush(batch, log)
        except OSError as error:
            if len(batch.unsaved) == 1:
                _log.error("answers of a batch cannot be written", batch=batch.id, error=str(error))
            return False
        return True

    def _note(self, batch: Batch, kind: str, **fields: Any) -> None:
        batch.apply(self.journal.append(kind, batch=batch.id, **fields))


def _flush(batch: Batch, log: Log) -> None:
    """Writes the results that wait. Raises `OSError`; what is not written waits on."""
    while batch.unsaved:
        log.append(batch.unsaved[0].id, batch.unsaved[0])
        batch.unsaved.pop(0)
