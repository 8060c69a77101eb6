"""What doctor says of the stores that a configuration names, against real ones."""

import pytest

from hapenny.cli.doctor_stores import look_at_stores
from hapenny.config import load
from hapenny.core.clock import RealClock


def config(redis, ledger="ledger: null"):
    return load(text=f"fingerprint_key: a secret of ours\nshared: {redis}\n{ledger}\n")


class Late(RealClock):
    """A machine whose clock is a minute behind."""

    def wall(self):
        return super().wall() - 60


@pytest.mark.redis
def test_a_redis_that_forgets_budgets_and_news_is_told(redis_url):
    import redis

    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            problems, proved = look_at_stores(config(redis_url))
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    said = [problem.message for problem in problems]
    assert any("eviction policy is allkeys-lru" in each for each in said)
    assert any("forgotten when it restarts" in each for each in said)
    assert any(line.startswith("store redis://127.0.0.1") and " ms" in line for line in proved)


@pytest.mark.postgres
@pytest.mark.redis
def test_stores_that_are_well_are_a_line_each(redis_url, postgres_dsn):
    problems, proved = look_at_stores(config(redis_url, f"ledger: {{path: '{postgres_dsn}'}}"))
    assert not problems, "budgets lie in PostgreSQL then"
    assert len(proved) == 2
    assert "PostgreSQL" in proved[1]


@pytest.mark.redis
def test_clocks_that_disagree_are_told(redis_url):
    problems, _ = look_at_stores(config(redis_url), Late())
    assert any("60 s apart" in problem.message for problem in problems)


def test_one_that_is_not_there_is_told_without_its_password():
    problems, proved = look_at_stores(config("redis://:secret-word@127.0.0.1:1/0"))
    assert not proved
    assert all("secret-word" not in str(problem) for problem in problems)
    assert "cannot be used" in problems[0].message
