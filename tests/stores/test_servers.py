"""The servers the contract suites rely on are real, and empty for each test."""

import pytest


@pytest.mark.redis
@pytest.mark.parametrize("round_", [1, 2])
def test_each_test_gets_an_empty_redis(redis_url, round_):
    import redis

    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


@pytest.mark.postgres
@pytest.mark.parametrize("round_", [1, 2])
def test_each_test_gets_an_empty_postgres_schema_with_vectors(postgres_dsn, round_):
    import psycopg

    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (v vector(2))")
        connection.execute("INSERT INTO t VALUES ('[1,2]')")
        assert connection.execute("SELECT v <-> '[1,3]' FROM t").fetchone() == (1.0,)
