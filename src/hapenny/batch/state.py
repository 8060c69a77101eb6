"""What a journal says about its batches: rebuilt from the entries at start, kept up while running."""

from __future__ import annotations

from typing import Any

import msgspec

from hapenny.batch.journal import Journal
from hapenny.batch.records import Record, Result


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

    def __init__(self, journal: Journal, entry: dict[str, Any]) -> None:
        self.journal = journal
        self.id: str = entry["id"]
        self.model: str = entry["model"]
        self.created: float = entry["created"]
        self.deadline: float = entry["deadline"]
        self.key: str = entry.get("key", "")
        self.metadata: dict[str, Any] = entry.get("metadata", {})
        self.parts: dict[int, Part] = {}
        self.results: dict[str, Result] = {}
        self.attempts: dict[str, int] = {}
        self.batched: dict[str, float] = {}
        """Ids answered in a job, and its price against on demand."""
        self.took: dict[str, list[float]] = {}
        """Seconds that whole jobs took, by provider."""
        self.done = False
        self.cancelled = False
        self._records: dict[str, Record] | None = None

    @property
    def records(self) -> dict[str, Record]:
        """The records by id."""
        if self._records is None:
            data = self.journal.read(f"{self.id}/input.jsonl")
            found = [msgspec.json.decode(line, type=Record) for line in data.splitlines()]
            self._records = {record.id: record for record in found}
        return self._records

    def empty(self) -> None:
        """Forgets what the records say, on disk as well."""
        bare = [Record(record.id, {}, record.model) for record in self.records.values()]
        self.journal.write(f"{self.id}/input.jsonl", b"".join(msgspec.json.encode(record) + b"\n" for record in bare))
        self._records = {record.id: record for record in bare}

    def full(self, id: str) -> Record:
        """A record with its model."""
        return msgspec.structs.replace(self.records[id], model=self.model_of(id))

    def model_of(self, id: str) -> str:
        """The model of a record."""
        return self.records[id].model or self.model

    def by_model(self, ids: list[str]) -> dict[str, list[str]]:
        """Ids by model, in their order."""
        found: dict[str, list[str]] = {}
        for id in ids:
            found.setdefault(self.model_of(id), []).append(id)
        return found

    def take(self, result: Result, *, price: float | None = None) -> None:
        """Keeps a result: the first success of a record stays; failures count as attempts. `price`: of the job it came
        from, against on demand; None: it was sent alone."""
        if result.id not in self.records:
            return
        known = self.results.get(result.id)
        if known is not None and known.output is not None:
            return
        self.attempts[result.id] = self.attempts.get(result.id, 0) + 1
        self.results[result.id] = result
        if price is not None and result.output is not None:
            self.batched[result.id] = price

    def missing(self, most_attempts: int) -> list[str]:
        """Ids that still need an answer and are in no open job."""
        open_ids = {id for part in self.parts.values() if not part.collected for id in part.ids}
        found = []
        for id in self.records:
            if id in open_ids:
                continue
            result = self.results.get(id)
            if result is None or (
                result.output is None and result.retryable and self.attempts.get(id, 0) < most_attempts
            ):
                found.append(id)
        return found

    def apply(self, entry: dict[str, Any]) -> None:
        """Follows one journal entry."""
        match entry["kind"]:
            case "intent":
                ids = msgspec.json.decode(self.journal.read(f"{self.id}/part-{entry['part']}.json"), type=list[str])
                self.parts[entry["part"]] = Part(
                    entry["part"], entry["provider"], entry["token"], ids, entry.get("price", 0.5)
                )
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
                data = self.journal.read(f"{self.id}/results-{entry['part']}.jsonl")
                for line in data.splitlines():
                    self.take(msgspec.json.decode(line, type=Result), price=part.price)
            case "cancelled":
                self.cancelled = True
            case "done":
                self.done = True
            case _:
                pass


def load(journal: Journal) -> dict[str, Batch]:
    """All batches of a journal."""
    batches: dict[str, Batch] = {}
    for entry in journal.entries:
        if entry["kind"] == "batch":
            batches[entry["id"]] = Batch(journal, entry)
        else:
            batches[entry["batch"]].apply(entry)
    for batch in batches.values():
        for line in journal.logged(f"{batch.id}/local.jsonl"):
            batch.take(msgspec.json.decode(line, type=Result))
    return batches
