"""Watching costs a bounded share of the traffic, and says what it stands for."""

import pytest

from hapenny.core.watching import MOST_A_SECOND, Sampler
from hapenny.simulation import loop


def watched(pace, seconds, question=lambda number: f"question {number}"):
    """How many requests were watched of how many, and for how many they stand, after the sampler has settled."""

    async def main(clock):
        sampler, looked, stands, sent = Sampler(clock), 0, 0, 0
        for second in range(seconds):
            for _ in range(pace):
                await clock.sleep(1 / pace)
                weight = sampler.weight(question(sent))
                sent += 1
                if second >= seconds // 2:
                    looked += weight > 0
                    stands += weight
        return looked / (seconds - seconds // 2), stands / (pace * (seconds - seconds // 2))

    return loop.run(main)


def test_little_traffic_is_watched_whole():
    looked, stands = watched(10, 20)
    assert looked == 10
    assert stands == 1.0


@pytest.mark.parametrize("pace", [100, 1_000])
def test_much_traffic_is_watched_in_part_and_counts_for_all(pace):
    looked, stands = watched(pace, 40)
    assert looked <= MOST_A_SECOND
    assert stands == pytest.approx(1.0, abs=0.35)


def test_one_question_asked_without_end_costs_no_more():
    looked, _ = watched(1_000, 20, lambda number: "always the same")
    assert looked <= MOST_A_SECOND


def test_a_question_that_comes_again_is_watched_again():
    async def main(clock):
        sampler = Sampler(clock)
        for number in range(20_000):
            await clock.sleep(0.002)
            sampler.weight(f"question {number}")
        await clock.sleep(1.0)
        chosen = next(text for text in (f"again {n}" for n in range(1_000)) if sampler.weight(text))
        return sampler.weight(chosen)

    assert loop.run(main) > 1
