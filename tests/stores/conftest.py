"""Every implementation of the stores' contracts, against real servers where they are needed."""

import asyncio

import pytest

from hapenny.core.clock import RealClock
from hapenny.stores.memory import MemoryKeyValue, MemoryRows
from hapenny.stores.sqlite import SqliteFile, SqliteKeyValue, SqliteRows


class Clock(RealClock):
    """A wall clock that the test moves."""

    def __init__(self):
        super().__init__(seed=1)
        self.t = 1_800_000_000.0

    def wall(self):
        return self.t


class Time:
    """Lets time pass: by moving the clock, or by waiting where a server has its own."""

    def __init__(self, clock, real):
        self.clock, self.real = clock, real

    async def passes(self, seconds):
        self.clock.t += seconds
        if self.real:
            await asyncio.sleep(seconds)


POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
REDIS = pytest.param("redis", marks=pytest.mark.redis)


def build(kind, what, request, tmp_path, clock):
    if kind == "redis":
        from hapenny.stores.redis import RedisKeyValue

        return RedisKeyValue(request.getfixturevalue("redis_url"))
    if kind == "postgres":
        from hapenny.stores.postgres_kv import PostgresKeyValue

        return PostgresKeyValue(request.getfixturevalue("postgres_dsn"), clock)
    if kind == "s3":
        from hapenny.stores.s3_kv import S3KeyValue

        return S3KeyValue(request.getfixturevalue("s3_url"), clock)
    if kind == "file":
        from hapenny.stores.file_kv import FileKeyValue

        return FileKeyValue(str(tmp_path / "deep" / "store.json"), clock)
    if kind == "sqlite":
        file = SqliteFile(str(tmp_path / "deep" / "store.db"), clock)
        return SqliteKeyValue(file) if what == "kv" else SqliteRows(file)
    return MemoryKeyValue(clock) if what == "kv" else MemoryRows()


def _fixture(what, kinds):
    @pytest.fixture(params=kinds, name=what)
    async def store(request, tmp_path, clock):
        made = build(request.param, what, request, tmp_path, clock)
        yield made
        await made.aclose()

    return store


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def time(clock, kv):
    return Time(clock, real=type(kv).__name__.startswith(("Redis", "Postgres")))


@pytest.fixture
def s3_url(monkeypatch):
    """A bucket of moto's: what conditional writes say there is compared with S3's documentation, not with S3."""
    from moto import mock_aws

    with mock_aws():
        import boto3

        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="stores")
        yield "s3://stores/hapenny"


kv = _fixture("kv", ["memory", "file", "sqlite", "s3", REDIS, POSTGRES])
rows = _fixture("rows", ["memory", "sqlite"])
