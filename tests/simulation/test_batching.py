"""The engine of simulated servers: what its leaps come to is what single steps would."""

import pytest

from hapenny.simulation.batching import Engine, Sequence, ServerCard


def served(card, sizes, gap=0.0, **kwargs):
    """Sequences of (prompt, answer), one after another, through one engine."""
    engine = Engine(card)
    sequences = []
    for number, (prompt, answer) in enumerate(sizes):
        engine.advance(number * gap)
        sequences.append(Sequence(prompt, answer, **kwargs))
        engine.add(sequences[-1], number * gap)
    engine.finish()
    return engine, sequences


def test_one_sequence_takes_its_steps():
    card = ServerCard(step_s=0.1, sequence_s=0.01, prefill_tokens_per_s=1_000, chunk=100)
    _, (one,) = served(card, [(250, 5)])
    first = 3 * 0.1 + 250 / 1_000
    assert one.first_at == pytest.approx(first)
    assert one.ended_at == pytest.approx(first + 4 * 0.11)


def test_short_prompts_share_a_chunk_and_long_ones_take_several():
    card = ServerCard(step_s=0.1, sequence_s=0.0, prefill_tokens_per_s=1_000, chunk=100)
    _, sequences = served(card, [(10, 1), (30, 1), (30, 1), (30, 1), (300, 1)])
    # The first finds nobody; three of thirty go together in the next step; the long one takes three of its own.
    firsts = [each.first_at for each in sequences]
    assert firsts[0] == pytest.approx(0.11)
    assert firsts[1] == firsts[2] == firsts[3] == pytest.approx(0.11 + 0.1 + 0.09)
    assert firsts[4] == pytest.approx(firsts[3] + 0.3 + 0.3)


def test_who_comes_in_the_middle_of_a_long_span_starts_at_the_next_step():
    card = ServerCard(step_s=0.1, sequence_s=0.0, prefill_tokens_per_s=1e9, chunk=100)
    engine = Engine(card)
    engine.add(Sequence(10, 1_000), 0.0)
    engine.advance(5.04)
    late = Sequence(10, 1)
    engine.add(late, 5.04)
    engine.finish()
    assert late.first_at == pytest.approx(5.2)


def test_full_memory_preempts_the_youngest_and_all_are_answered():
    engine, sequences = served(ServerCard(kv_tokens=6_000, cached_tokens=0), [(800, 900)] * 12)
    assert engine.preemptions > 0
    assert all(each.ended_at is not None for each in sequences)
    assert (engine.inside, engine.running, engine.kv, engine.pending) == (0, 0, 0, 0)
    assert sequences[0].ended_at == min(each.ended_at for each in sequences)


def test_contiguous_memory_holds_less_at_once_and_preempts_nobody():
    sizes = [(500, 100)] * 40
    paged, fast = served(ServerCard(kv_tokens=20_000, cached_tokens=0), sizes, limit=2_000)
    whole, slow = served(ServerCard(kv_tokens=20_000, cached_tokens=0, paged=False), sizes, limit=2_000)
    assert whole.preemptions == 0
    assert whole.kv == paged.kv == 0
    assert max(each.ended_at for each in slow) > 1.5 * max(each.ended_at for each in fast)


def test_a_static_batch_runs_to_its_end_and_groups_like_sequences():
    sizes = [(100, 10), (100, 400), (100, 11), (110, 390)]
    _, mixed = served(ServerCard(continuous=False), sizes)
    short, long = (mixed[0], mixed[2]), (mixed[1], mixed[3])
    # The first went alone; like ones then went together, and nobody joined a batch under way.
    assert long[0].first_at == long[1].first_at
    assert short[1].first_at >= min(long[0].ended_at, short[0].ended_at)
    _, joined = served(ServerCard(), sizes)
    assert joined[2].first_at < mixed[2].first_at


def test_an_urgent_sequence_pauses_a_long_one_of_low_priority():
    def urgent_waits(priority):
        engine = Engine(ServerCard(most=2))
        long = [Sequence(100, 2_000, priority=2) for _ in range(2)]
        for each in long:
            engine.add(each, 0.0)
        engine.advance(1.0)
        short = Sequence(100, 5, priority=priority)
        engine.add(short, 1.0)
        engine.finish()
        assert all(each.ended_at is not None and each.made == each.output for each in long)
        return short.first_at - 1.0, engine.preemptions

    assert urgent_waits(0) == (pytest.approx(0.1, abs=0.1), 1)
    waited, preempted = urgent_waits(2)
    assert waited > 10
    assert preempted == 0


def test_removing_frees_what_was_held_wherever_the_sequence_was():
    engine = Engine(ServerCard(most=1))
    running, waiting = Sequence(100, 50), Sequence(100, 50)
    engine.add(running, 0.0)
    engine.add(waiting, 0.0)
    engine.advance(0.2)
    engine.remove(waiting, 0.2)
    engine.remove(running, 0.2)
    engine.finish()
    assert (engine.inside, engine.running, engine.kv, engine.pending) == (0, 0, 0, 0)


def test_the_first_token_is_foretold():
    card = ServerCard(most=8)
    engine = Engine(card)
    errors = []
    for number in range(200):
        now = number * 0.5
        engine.advance(now)
        foretold = engine.first_token_s(1_000)
        one = Sequence(1_000, 150)
        engine.add(one, now)
        errors.append((foretold, now, one))
    engine.finish()
    late = [one.first_at - now - foretold for foretold, now, one in errors]
    assert sum(map(abs, late)) / len(late) < 0.5


@pytest.mark.parametrize("kv_tokens", [100_000, 40_000, 22_000, 15_000])
def test_the_first_token_is_foretold_also_where_memory_is_full(kv_tokens):
    """A prompt that finds no memory waits for answers to end; whoever sends it can work that out."""
    engine = Engine(ServerCard(kv_tokens=kv_tokens, cached_tokens=0, most=64))
    for number in range(60):
        engine.add(Sequence(1_000, 40 + number * 37 % 320), 0.0)
    engine.advance(6.0)
    told, coming = engine.first_token_s(1_000), Sequence(1_000, 200)
    engine.add(coming, 6.0)
    engine.finish()
    assert told == pytest.approx(coming.first_at - 6.0, rel=0.15)
