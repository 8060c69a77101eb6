"""A clock the tests move by hand."""

import random

import pytest


class HandClock:
    def __init__(self, start=1_000_000.0):
        self.time = start
        self.random = random.Random(7)
        self._ids = 0

    def now(self):
        return self.time

    def wall(self):
        return self.time

    def secret(self):
        return b"hand" * 8

    def new_id(self, prefix=""):
        self._ids += 1
        return f"{prefix}{self._ids:04d}"

    async def sleep(self, seconds):
        self.time += seconds

    async def work(self, kind, units, fn):
        return fn()


@pytest.fixture
def clock():
    return HandClock()
