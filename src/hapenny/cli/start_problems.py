"""Why a gateway cannot start, in one line each with the fix: configuration, files, ports, extras."""

from __future__ import annotations

import errno
import socket
import sqlite3
from pathlib import Path

from hapenny.cli.extras import pip_line
from hapenny.config import ConfigError


def problems_of(error: Exception) -> list[str]:
    """What an operator is told about an error at start or reload. Never empty."""
    if isinstance(error, ConfigError):
        return [" ".join(problem.split()) for problem in error.problems]
    what = " ".join(str(error).split())
    if isinstance(error, socket.gaierror):
        return [f"$.server.host: no such address ({error.strerror}). Fix: an address of this machine"]
    if isinstance(error, OSError):
        return [_of_system(error, what)]
    if isinstance(error, sqlite3.Error):
        return [f"a file of the gateway cannot be used ({what}). Fix: restore it, or move it away to begin a new one"]
    if isinstance(error, ImportError):
        return [f"{what}. Fix: {pip_line(error.name or '') or 'install the extra that has it'}"]
    return [what if "Fix:" in what else f"{type(error).__name__}: {what}. Fix: correct the configuration"]


def _of_system(error: OSError, what: str) -> str:
    if error.filename is not None:
        return f"{str(error.filename)!r}: {error.strerror}. Fix: {_fix_of_file(error)}"
    if error.errno == errno.EADDRINUSE:
        return f"$.server.port: in use ({what}). Fix: another --port, 0 for a free one, or end what listens there"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"$.server.port: not allowed ({what}). Fix: a port above 1023, or the right to take it"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"$.server.host: not an address of this machine ({what}). Fix: e.g. 127.0.0.1 or 0.0.0.0"
    return f"{what}. Fix: see what the system refuses"


def _fix_of_file(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "correct the path, or put the file there"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return "let this user read and write it, or name another place"
    if error.errno == errno.ENOSPC:
        return "make room on the disk"
    return f"the path of a file that can be used, not {Path(str(error.filename)).name!r}"
