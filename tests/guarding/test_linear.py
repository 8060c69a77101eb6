"""Work on a text grows with its length and no faster, on whatever somebody may send."""

import pytest
from benchmarks.growing import superlinear

from hapenny.guarding import injection
from hapenny.guarding.detector import Detector
from hapenny.guarding.finding import KINDS
from hapenny.guarding.normal import normal
from hapenny.guarding.policy import Policy
from hapenny.guarding.streaming import Tally, TextStream

POLICY = Policy({"all": "redact", "person": "redact", "address": "redact"}, {"a": ["a * a * b", "ignore * all"]})


def streams(text):
    flow = TextStream(POLICY, Tally())
    for at in range(0, len(text), 16):
        flow.feed(text[at : at + 16])
    flow.flush()


WORKS = {
    "rules": Detector(KINDS).find,
    "topics": lambda text: POLICY.denied.find(normal(text).text),
    "injection": injection.find,
    "stream": streams,
}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_growth(work):
    assert superlinear(work, 1_000) == {}
