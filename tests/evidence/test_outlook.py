"""What a technique may act on later: dated by how fast pairs come, decided by the opening rule, changing nothing."""

from hapenny.evidence.opening import Opening
from hapenny.evidence.outlook import outlook

LIMIT = 0.02


def opening(pairs: int, *, losses: int = 0, every: int = 10) -> Opening:
    """A technique of which every tenth request became a pair."""
    made = Opening("tiers", ["fast"], 0.05)
    for number in range(pairs):
        for _ in range(every):
            made.seen("question", 1_000.0)
        made.add("question", "fast", 1.0 if number < losses else 0.0, 100.0)
    return made


def test_the_first_look_is_as_many_requests_away_as_pairs_are_missing():
    ahead = outlook(opening(40), LIMIT)
    assert ahead[0].share == 0.0
    assert ahead[1].share > 0
    # 60 certifying pairs are four fifths of 75; 40 are there, and each takes ten requests.
    assert abs(ahead[1].requests - 350) < 15


def test_more_evidence_of_the_same_kind_opens_more_and_each_request_is_spared_what_pairs_show():
    ahead = outlook(opening(40), LIMIT)
    shares = [each.share for each in ahead]
    assert shares == sorted(shares)
    assert shares[-1] > shares[1]
    assert all(abs(each.spares - 0.9) < 0.01 for each in ahead[1:])


def test_losses_leave_it_closed():
    assert all(each.share == 0 for each in outlook(opening(60, losses=30), LIMIT))


def test_looking_ahead_opens_nothing():
    made = opening(100)
    before = made.dumps()
    outlook(made, LIMIT)
    assert made.dumps() == before
    assert made.state == "closed"


def test_without_a_pair_nothing_is_foreseen():
    [now] = outlook(opening(0), LIMIT)
    assert (now.requests, now.share) == (0, 0.0)
