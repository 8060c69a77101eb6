"""Who a process is, for other processes of the same machine that want to know whether it has ended.

A process that is stopped still is; one that was killed is gone, whatever it was doing. Only that difference is told
here, and only where it is certain: on Linux, on the same boot, in the same space of process ids.
"""

from __future__ import annotations

import os
from pathlib import Path

_DEAD = "ZX"
"""States of a process that has ended and was not waited for."""


def identity() -> str:
    """Names this process among all of this machine since its start; empty where that cannot be told."""
    here, started = _here(), _started(os.getpid())
    return f"{here} {os.getpid()} {started[1]}" if here and started is not None else ""


def gone(identity: str) -> bool:
    """Whether the process of this name has certainly ended."""
    boot, _, rest = identity.partition("/")
    here = _here()
    space, _, rest = rest.partition(" ")
    number, _, started = rest.partition(" ")
    if not number.isdigit() or not here or here != f"{boot}/{space}":
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and somebody else's
        pass
    known = _started(int(number))
    return known is not None and (known[0] in _DEAD or known[1] != started)


def _here() -> str:
    """This boot of this machine, and its space of process ids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def _started(number: int) -> tuple[str, str] | None:
    """State of a process, and when it was started, in ticks since boot."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], fields[19]
