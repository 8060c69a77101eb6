"""What a journal says about its batches: rebuilt from the entries at start, kept up while running.

Nothing that is damaged keeps the others from being read, and nothing that may have been paid is asked again: a record
whose text or whose answer cannot be read any more ends with an error that says so. What a job answered is fetched from
the provider once more, as long as its batch is open.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from hapenny.admission.keys import Identity
from hapenny.batch.journal import Journal
from hapenny.batch.records import Record, Result
from hapenny.core.log import get_logger

_log = get_logger("hapenny.batches")
MOST_DOUBTS = 10
"""How often a record that is in doubt is sent again without anybody's word."""
_ANSWER_LOST = "its answer is damaged on disk; hand the record in again if it is still wanted"
_RECORD_LOST = "the record is damaged on disk; hand it in again"


class Part:
    """A provider's job of a batch: `token` names it for ever, `job` is the provider's id once known."""

    def __init__(self, number: int, provider: str, token: str, ids: list[str], price: float = 0.5) -> None:
        self.number = number
        self.provider = provider
        self.price = price
        self.token = token
        self.ids = ids
        self.job = ""
        self.created: float | None = None
        self.stopping_since: float | None = None
        self.collected = False
        self.refused = ""


class Batch:
    """One batch: its records, parts and results so far."""

    def __init__(self, journal: Journal, entry: dict[str, Any], records: Iterable[Record] | None = None) -> None:
        """`records`: as they were written; None: they are read when somebody asks."""
        self.journal = journal
        self.id: str = entry["id"]
        self.model: str = entry["model"]
        self.created: float = entry["created"]
        self.deadline: float = entry["deadline"]
        self.key: str = entry.get("key", "")
        self.metadata: dict[str, Any] = entry.get("metadata", {})
        self.who = msgspec.convert(self.metadata.get("who") or {}, Identity)
        """Who handed it in."""
        self.parts: dict[int, Part] = {}
        self.results: dict[str, Result] = {}
        self.attempts: dict[str, int] = {}
        self.batched: dict[str, float] = {}
        """Ids answered in a job, and its price against on demand."""
        self.took: dict[str, list[float]] = {}
        """Seconds that whole jobs took, by provider."""
        self.unsaved: list[Result] = []
        """Results that could not be written yet: the disk was full."""
        self.doubts: dict[str, int] = {}
        """How often it was in doubt whether a record had been answered."""
        self.chosen: dict[str, int] = {}
        """How many of these times the operator said that it be asked again."""
        self.looked_back = False
        """Whether what a process that ended had under way is known."""
        self.done = False
        self.cancelled = False
        self.deleted = False
        self.ended_at: float | None = None
        self.cancelled_at: float | None = None
        self._records = {record.id: record for record in records} if records is not None else None

    @property
    def records(self) -> dict[str, Record]:
        """The records by id."""
        if self._records is None:
            self._records = {}
            for line in self.journal.lines(f"{self.id}/input.jsonl"):
                if line.json is not None:
                    record = msgspec.json.decode(line.json, type=Record)
                    self._records[record.id] = record
                elif line.name is not None:
                    self._records[line.name] = Record(line.name, {}, self.model)
                    self.results.setdefault(line.name, Result(line.name, error=_RECORD_LOST, retryable=False))
        return self._records

    def empty(self) -> None:
        """Forgets what the records say, on disk as well."""
        bare = {record.id: Record(record.id, {}, record.model) for record in self.records.values()}
        self.journal.write_lines(f"{self.id}/input.jsonl", bare.items())
        self._records = bare

    def full(self, id: str) -> Record:
        """A record with all that its batch says of it."""
        record = self.records.get(id) or Record(id, {})
        return msgspec.structs.replace(record, model=record.model or self.model, who=self.who, deadline=self.deadline)

    def model_of(self, id: str) -> str:
        """The model of a record."""
        return self.records[id].model or self.model

    def by_model(self, ids: list[str]) -> dict[str, list[str]]:
        """Ids by model, in their order."""
        models: dict[str, list[str]] = {}
        for id in ids:
            models.setdefault(self.model_of(id), []).append(id)
        return models

    def take(self, result: Result, *, price: float | None = None) -> None:
        """Keeps a result: the first success of a record stays; failures count as attempts. `price`: of the job it came
        from, against on demand; None: it was sent alone."""
        known = self.results.get(result.id)
        if known is not None and known.output is not None:
            return
        if result.doubt:
            self.doubts[result.id] = self.doubts.get(result.id, 0) + 1
        else:
            self.attempts[result.id] = self.attempts.get(result.id, 0) + 1
        self.results[result.id] = result
        if price is not None and result.output is not None:
            self.batched[result.id] = price

    def missing(self, most_attempts: int) -> list[str]:
        """Ids that still need an answer and are in no open job."""
        records = self.records
        open_ids = {id for part in self.parts.values() if not part.collected for id in part.ids}
        missing = []
        for id in records:
            if id in open_ids:
                continue
            result = self.results.get(id)
            if result is None or (result.output is None and self.again(result, most_attempts)):
                missing.append(id)
        return missing

    def again(self, result: Result, most_attempts: int) -> bool:
        """Whether a record that failed is sent again."""
        doubts, chosen = self.doubts.get(result.id, 0), self.chosen.get(result.id, 0)
        if result.doubt:
            # A record that kills whoever sends it comes to an end as well.
            return doubts <= chosen or (result.retryable and doubts - chosen < MOST_DOUBTS)
        return result.retryable and self.attempts.get(result.id, 0) < most_attempts

    def unanswered(self, ids: Iterable[str]) -> list[str]:
        """Those of the ids that are records of this batch and have no answer."""
        results = self.results
        return [id for id in ids if id in self.records and (id not in results or results[id].output is None)]

    def held(self) -> list[str]:
        """Ids of the records that are in doubt and are not asked again by themselves."""
        return [id for id, result in self.results.items() if result.doubt and not self.again(result, 0)]

    def apply(self, entry: dict[str, Any]) -> None:
        """Follows one journal entry."""
        match entry["kind"]:
            case "intent":
                number = entry["part"]
                ids = self._ids(number)
                self.parts[number] = Part(number, entry["provider"], entry["token"], ids, entry.get("price", 0.5))
            case "created":
                part = self.parts[entry["part"]]
                part.job, part.created = entry["job"], entry.get("at")
            case "refused":
                part = self.parts[entry["part"]]
                part.refused, part.collected = entry["reason"], True
            case "stopping":
                self.parts[entry["part"]].stopping_since = entry["at"]
            case "collected":
                part = self.parts[entry["part"]]
                part.collected = True
                if part.created is not None and part.stopping_since is None and "at" in entry:
                    self.took.setdefault(part.provider, []).append(entry["at"] - part.created)
            case "cancelled":
                self.cancelled, self.cancelled_at = True, entry.get("at")
            case "again":
                for id in entry["ids"]:
                    self.chosen[id] = entry["doubts"][id]
                self.done, self.ended_at = False, None
                self.deadline = entry["deadline"]
            case "done":
                self.done, self.ended_at = True, entry.get("at")
            case "deleted":
                self.deleted = True
            case _:
                pass

    def restore(self) -> None:
        """Reads the results that are on disk, once all entries were followed."""
        if self.deleted:
            return
        for part in self.parts.values():
            if part.collected and not part.refused:
                self._collect(part)
        for line in self.journal.lines(f"{self.id}/local.jsonl"):
            if line.json is not None:
                self.take(msgspec.json.decode(line.json, type=Result))
            elif line.name is not None:
                self.take(Result(line.name, error=_ANSWER_LOST, retryable=False))

    def _collect(self, part: Part) -> None:
        """The results of a job. Damaged ones of an open batch are fetched again: the job is looked at once more."""
        name = f"{self.id}/results-{part.number}.jsonl"
        lines = self.journal.lines(name)
        damaged = any(line.json is None for line in lines) or not self.journal.exists(name)
        if damaged and not self.done:
            part.collected = False
            return
        for line in lines:
            if line.json is not None:
                self.take(msgspec.json.decode(line.json, type=Result), price=part.price)
        for id in part.ids if damaged else ():
            self.results.setdefault(id, Result(id, error=_ANSWER_LOST, retryable=False))

    def _ids(self, number: int) -> list[str]:
        """The records of a part, in the order they have in its job. A line's name says the same as the line."""
        ids: list[str] = []
        for line in self.journal.lines(f"{self.id}/part-{number}.json"):
            value = msgspec.json.decode(line.json) if line.json is not None else line.name
            ids += value if isinstance(value, list) else [value or ""]  # whose place it is, nobody knows
        return ids


def load(journal: Journal) -> dict[str, Batch]:
    """All batches of a journal. An entry that cannot be followed is left out, and logged."""
    batches: dict[str, Batch] = {}
    for entry in journal.entries:
        try:
            if entry["kind"] == "batch":
                batches[entry["id"]] = Batch(journal, entry)
            else:
                batches[entry["batch"]].apply(entry)
        except (KeyError, TypeError, ValueError, msgspec.MsgspecError) as error:
            batch = entry.get("batch", entry.get("id", ""))
            _log.error("an entry of the batch journal is left out", batch=batch, error=type(error).__name__)
    for batch in batches.values():
        batch.restore()
    return batches


def named(results: Iterable[Result]) -> Iterable[tuple[str, Result]]:
    """Results by the ids of their records, as they are written."""
    return ((result.id, result) for result in results)
