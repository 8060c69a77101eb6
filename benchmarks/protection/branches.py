"""One run that goes on in several ways from one moment, so that what comes before is played once.

The process is forked at that moment: virtual time has no threads, sockets or ledger that two processes could not both
go on with. Each child takes one way to its end and hands its result back through a pipe while the parent waits; the
parent takes the last way itself. The results are those of separate runs, to the last digit.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Branches(Generic[T]):
    """The ways of one run. `names`: at least one."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._mine = names[-1]
        self._pipe: int | None = None
        self._others: dict[str, T] = {}

    def split(self) -> str:
        """Called once, inside the run: returns the way that this process takes."""
        loop = asyncio.get_running_loop()
        for name in self._names[:-1]:
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reading)
                asyncio._set_running_loop(loop)
                self._mine, self._pipe = name, writing
                return name
            os.close(writing)
            with os.fdopen(reading, "rb") as pipe:
                text = pipe.read()
            os.waitpid(child, 0)
            if not text:
                raise RuntimeError(f"the way {name!r} came to no end; its error stands above")
            self._others[name] = pickle.loads(text)
        return self._mine

    def results(self, run: Callable[[], T]) -> Mapping[str, T]:
        """Plays `run`, in which `split` is called, and returns the result of each way."""
        parent = os.getpid()
        try:
            result = run()
        except BaseException:
            if os.getpid() == parent:
                raise
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        if self._pipe is not None:
            with os.fdopen(self._pipe, "wb") as pipe:
                pickle.dump(result, pipe)
            sys.stderr.flush()
            os._exit(0)
        return {name: result if name == self._mine else self._others[name] for name in self._names}
