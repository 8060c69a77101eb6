"""Records and results of batch jobs, and the contract of what runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

from hapenny.admission.keys import OPEN, Identity

State = Literal["running", "ended", "failed"]


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request of a batch. `body` is in the format of the batch's protocol, without the model. What it does not say
    itself is its batch's."""

    id: str
    body: dict[str, Any]
    model: str = ""
    who: Identity = OPEN
    """On whose behalf it is asked."""
    deadline: float = 0.0
    """When it should be answered, epoch seconds; 0: nobody said."""


class Result(msgspec.Struct, frozen=True):
    """What became of a record: `output`, or `error` and whether the same record may succeed when sent again."""

    id: str
    output: dict[str, Any] | None = None
    error: str = ""
    retryable: bool = True
    doubt: bool = False
    """Whether nobody can know if it was answered, and paid for: whoever had sent it was killed, or cut off."""


IN_DOUBT = "it was sent by a process that ended before the answer was kept: nobody can know whether it was paid for"


def in_doubt(id: str) -> Result:
    """What became of a record whose call nobody saw the end of."""
    return Result(id, error=IN_DOUBT, doubt=True)


class JobStatus(msgspec.Struct, frozen=True):
    """Where a provider's job stands. `failed`: no results will come. `done` of `total` records are processed."""

    state: State
    done: int = 0
    total: int = 0
    message: str = ""


class BatchProvider(Protocol):
    """A provider's batch API.

    A job's records are of one model. `price`: of a record against on demand (0.5 is half). `least`, `most`: records of
    one job. `turnaround_s`: how long a job takes, as far as known: less time than that until a deadline and it is not
    used.
    """

    name: str
    price: float
    least: int
    most: int
    turnaround_s: float

    def serves(self, model: str) -> bool:
        """Whether jobs of this model may be created here."""
        ...

    async def create(self, token: str, model: str, records: Sequence[Record]) -> str:
        """Starts a job and returns its id. The same `token` always means the same job, also after a crash."""
        ...

    async def status(self, job: str) -> JobStatus:
        """Where the job stands."""
        ...

    async def results(self, job: str, records: Sequence[Record]) -> list[Result]:
        """Results so far, in any order; all of them once it has ended. `records`: the job's, as they were created."""
        ...

    async def stop(self, job: str) -> None:
        """Stops the job; what was processed stays and is paid."""
        ...


class BatchRefused(Exception):
    """The provider refuses the job itself (too few records, malformed): sending it again cannot help."""
