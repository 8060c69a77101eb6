"""The judge of sampled pairs: facts first, then a model in both orders, whose errors are estimated."""

from hapenny.core.clock import RealClock
from hapenny.evidence.facts import Said
from hapenny.evidence.llm import Judged
from hapenny.evidence.pair_judge import PairJudge
from tests.core.house import exchange

AUDITED = exchange("What does it cost?")


async def far(first, second):
    return 0.7


def judge(says, seed=1):
    """A judge whose model prefers what `says` names; and the pairs it was shown."""
    shown = []

    async def model(audited, first, second, both):
        shown.append((first, second, both))
        score = 0.5 if says is None else float(says in first) if (says in first) != (says in second) else 0.5
        return Judged(score=score, consistent=True), 10

    return PairJudge(RealClock(seed=seed), model, far), shown


async def test_equal_facts_cost_no_verdict():
    one, shown = judge("9.70")
    verdict = await one.judge(AUDITED, Said("It costs 9.70 euros."), Said("it costs 9.70 euros"))
    assert (verdict.net, verdict.cost, verdict.by, shown) == (0.0, 0, "text", [])


async def test_the_better_answer_counts_for_and_the_worse_against_whatever_the_places():
    one, shown = judge("9.70")
    right, wrong = Said("It costs 9.70 euros."), Said("It costs 9.30 euros.")
    for _ in range(60):
        assert (await one.judge(AUDITED, wrong, right)).net == 1.0
        assert (await one.judge(AUDITED, right, wrong)).net == -1.0
    assert len({first for first, _, _ in shown}) == 2
    # At first all are asked about in both orders, since nothing is known of the judge; later a share of them.
    assert all(both for *_, both in shown[:40])
    assert 0 < sum(both for *_, both in shown[40:]) < len(shown[40:])


async def test_verdicts_that_change_with_the_places_lower_what_may_be_lost():
    steady, _ = judge("x")
    before = steady.hidden

    async def fickle(audited, first, second, both):
        return Judged(score=0.5, consistent=False), 10

    unsteady = PairJudge(RealClock(seed=1), fickle, far)
    for number in range(400):
        await steady.judge(AUDITED, Said(f"one {number}"), Said(f"two {number + 1}"))
        await unsteady.judge(AUDITED, Said(f"one {number}"), Said(f"two {number + 1}"))
    assert steady.hidden < before < unsteady.hidden == 0.5


async def test_without_a_model_vectors_tell_and_other_calls_are_a_loss():
    one = PairJudge(RealClock(seed=1), None, far)
    assert not one.reads
    assert (await one.judge(AUDITED, Said("one way"), Said("another"))).net == 0.7
    assert (await one.judge(AUDITED, Said("{}", ("a",)), Said("{}", ("b",)))).net == 1.0


async def test_what_evidence_says_of_both_answers_needs_no_verdict():
    passage = "<document>\nThe pen costs 4.20 euros and comes in blue.\n</document>\nWhat does the pen cost?"
    first, second = (
        Said("The pen costs 4.20 euros."),
        Said("That is 4.20 euros for the pen. Thank you, Anna, for asking!"),
    )
    one, shown = judge("euros.")
    assert (await one.judge(exchange(passage), first, second)).by == "text"
    assert not shown
    await one.judge(exchange("What does the pen cost?"), first, second)  # nothing carries them here
    await one.judge(exchange(passage), Said("The pen costs 4.90 euros."), second)
    assert len(shown) == 2
