"""Requests at their own times: none waits for another, none is early, and all are waited for."""

from hapenny.simulation import loop
from hapenny.studies.arrivals import serve_all


def test_each_is_served_at_its_time_however_long_those_before_it_take():
    begun, ended = [], []

    async def main(clock):
        start = clock.now()

        async def one(seconds):
            begun.append(clock.now() - start)
            await clock.sleep(seconds)
            ended.append(clock.now() - start)

        await serve_all(clock, [(1.0, 10.0), (2.0, 0.5), (2.0, 30.0)], one)
        ended.append(clock.now() - start)

    loop.run(main, 1)
    assert begun == [1.0, 2.0, 2.0]
    assert ended == [2.5, 11.0, 32.0, 32.0]


def test_one_that_fails_keeps_none_from_being_served():
    served = []

    async def main(clock):
        async def one(name):
            if name == "bad":
                raise ValueError(name)
            served.append(name)

        await serve_all(clock, [(0.0, "bad"), (1.0, "good")], one)

    loop.run(main, 1)
    assert served == ["good"]


def test_no_requests_take_no_time():
    async def main(clock):
        start = clock.now()
        await serve_all(clock, [], None)
        return clock.now() - start

    assert loop.run(main, 1) == 0.0
