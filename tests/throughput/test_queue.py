import itertools
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.throughput.queue import FairQueue, Job, Priority


def job(tenant="t", *, output=100, priority=Priority.NORMAL, at=0.0, prefix="", weight=1.0, tokens=100):
    return Job(
        input_tokens=tokens,
        max_tokens=output,
        tenant=tenant,
        priority=priority,
        arrived=at,
        prefix=prefix,
        weight=weight,
    )


def drain(queue):
    order = []
    while (entry := queue.pop()) is not None:
        order.append(entry.job)
    return order


def test_urgent_before_normal_before_background():
    queue = FairQueue()
    for priority in (Priority.BACKGROUND, Priority.NORMAL, Priority.URGENT):
        queue.push(job(priority=priority))
    assert [j.priority for j in drain(queue)] == [0, 1, 2]


def test_background_gets_a_turn_under_endless_urgent_work():
    queue = FairQueue(starve_after=20)
    queue.push(job(priority=Priority.BACKGROUND))
    served = []
    for _ in range(30):
        queue.push(job(priority=Priority.URGENT))
        served.append(queue.pop().job.priority)
    assert served.count(Priority.BACKGROUND) == 1


def test_a_flood_from_one_tenant_does_not_delay_another():
    queue = FairQueue()
    for _ in range(1000):
        queue.push(job("flood"))
    queue.push(job("quiet"))
    assert "quiet" in [queue.pop().job.tenant for _ in range(3)]


def test_shares_follow_weights_in_tokens():
    queue = FairQueue()
    for _ in range(600):
        queue.push(job("gold", weight=3.0))
        queue.push(job("plain"))
        queue.push(job("huge", tokens=900))
    served = Counter()
    for _ in range(500):
        taken = queue.pop().job
        served[taken.tenant] += taken.cost
    assert 2.7 < served["gold"] / served["plain"] < 3.3
    assert 0.85 < served["huge"] / served["plain"] < 1.15


def test_short_goes_before_long_but_long_is_not_starved():
    queue = FairQueue(stretch=0.5, tokens_per_s=80)
    queue.push(job(output=1280, at=0.0))  # 16 predicted seconds: may be overtaken for 7.5 s
    queue.push(job(output=40, at=1.0))
    queue.push(job(output=40, at=6.0))
    queue.push(job(output=40, at=9.0))
    assert [(j.max_tokens, j.arrived) for j in drain(queue)] == [(40, 1.0), (40, 6.0), (1280, 0.0), (40, 9.0)]


def test_equal_prefixes_go_together_in_bounded_runs():
    queue = FairQueue(run=3)
    for number in range(12):
        queue.push(job(prefix="ab"[number % 2], at=float(number)))
    order = [j.prefix for j in drain(queue)]
    assert order[:3] == ["a", "a", "a"]
    changes = sum(one != other for one, other in itertools.pairwise(order))
    assert changes < 8
    assert sorted(order) == ["a"] * 6 + ["b"] * 6


def test_removed_entries_are_never_served():
    queue = FairQueue()
    entries = [queue.push(job(prefix="p")) for _ in range(10)]
    for entry in entries[::2]:
        queue.remove(entry)
        queue.remove(entry)
    assert len(queue) == 5
    assert len(drain(queue)) == 5
    assert queue.ahead(Priority.BACKGROUND) == (0, 0)


def test_ahead_counts_own_and_earlier_classes():
    queue = FairQueue()
    queue.push(job(priority=Priority.URGENT))
    queue.push(job(priority=Priority.BACKGROUND))
    assert queue.ahead(Priority.NORMAL) == (1, 200)
    assert queue.ahead(Priority.BACKGROUND) == (2, 400)


operations = st.lists(
    st.tuples(
        st.sampled_from(["push", "push", "pop", "remove"]),
        st.sampled_from("abcd"),
        st.integers(0, 2),
        st.integers(1, 3000),
        st.sampled_from(["", "x", "y"]),
    ),
    max_size=120,
)


@given(operations)
@settings(max_examples=200, deadline=None)
def test_everything_pushed_leaves_exactly_once(plan):
    queue, waiting, left = FairQueue(), {}, 0
    pushed = 0
    for number, (what, tenant, priority, output, prefix) in enumerate(plan):
        if what == "push":
            entry = queue.push(job(tenant, output=output, priority=Priority(priority), at=number, prefix=prefix))
            waiting[id(entry)] = entry
            pushed += 1
        elif what == "pop":
            head, entry = queue.peek(), queue.pop()
            assert head is entry
            if entry is not None:
                del waiting[id(entry)]
                left += 1
        elif waiting:
            entry = waiting.pop(next(iter(waiting)))
            queue.remove(entry)
            left += 1
        assert len(queue) == len(waiting) == queue.ahead(2)[0]
        assert {id(entry) for entry in queue.entries()} == set(waiting)
    assert left + len(drain(queue)) == pushed


def test_a_long_prompt_counts_as_long():
    queue = FairQueue()
    queue.push(job(tokens=120_000, at=0.0))
    queue.push(job(tokens=200, at=1.0))
    assert [j.input_tokens for j in drain(queue)] == [200, 120_000]


def test_what_comes_before_a_job_is_its_tenants_own_and_the_others_share():
    queue = FairQueue()
    assert queue.before(job("quiet")) == (0, 0)
    for _ in range(100):
        queue.push(job("flood"))
    assert queue.before(job("flood"))[0] == 100
    jobs, cost = queue.before(job("quiet"))
    assert jobs <= 2  # not the whole flood
    assert cost <= 2 * 200
    assert queue.before(job("quiet", priority=Priority.URGENT)) == (0, 0)
    assert queue.before(job("quiet", priority=Priority.BACKGROUND))[0] == 100
    for _ in range(10):
        queue.push(job("quiet"))
    jobs, _ = queue.before(job("quiet"))
    assert 20 <= jobs <= 22
    jobs, _ = queue.before(job("quiet", weight=5.0))
    assert 12 <= jobs <= 14
