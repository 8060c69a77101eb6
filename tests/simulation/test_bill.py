"""The provider's bill and the catalog's `price()` share no code and agree to the nano-dollar."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.catalog import default, price, region_class
from hapenny.core.events import Tokens
from hapenny.simulation.bill import Bill

counts = st.integers(0, 400_000)
NAMES = sorted(default().cards)
PREFIXES = ["", "us.", "eu.", "jp.", "global.", "us-gov."]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(NAMES),
    st.sampled_from(PREFIXES),
    st.sampled_from(["standard", "priority", "flex", "batch", "default", "odd"]),
    st.sampled_from(["us-east-1", "eu-west-1", "us-gov-west-1"]),
    counts, counts, counts, counts, counts,
)  # fmt: skip
def test_the_bill_agrees_with_the_price(
    name: str, prefix: str, tier: str, region: str, a: int, b: int, c: int, d: int, e: int
) -> None:
    card = default().cards[name]
    if card.kind in ("rerank", "guardrail"):  # not paid by token
        return
    tokens = Tokens(input=a, output=b, cache_read=c, cache_write=d, cache_write_1h=e)
    called = prefix + name if card.provider == "bedrock" and "." in name else name  # profiles name the vendor
    line = Bill().add(
        id="1", model=name, called=called, region=region, service_tier=tier, tokens=tokens, outcome="complete"
    )
    assert line.nano == price(card, tokens, service_tier=tier, region_class=region_class(called, region), queries=0)


def test_the_reference_message() -> None:
    bill = Bill()
    for _ in range(30):
        bill.add(
            id="1",
            model="anthropic.claude-3-sonnet-20240229-v1:0",
            called="claude-3-sonnet",
            region="us-east-1",
            service_tier="standard",
            tokens=Tokens(input=1500, output=400),
            outcome="complete",
        )
    assert bill.total == Fraction(315, 1000)  # thirty messages; thirty million are the seed's $315,000
    assert (bill.nano, bill.calls, bill.unpriced) == (315_000_000, 30, 0)


def test_sums_survive_a_short_list() -> None:
    bill = Bill(keep=2)
    for number in range(5):
        bill.add(
            id=str(number),
            model="gpt-4o" if number else "no-such-model",
            called="gpt-4o",
            region="",
            service_tier="standard",
            tokens=Tokens(input=2),
            outcome="complete",
        )
    assert [line.id for line in bill.lines] == ["3", "4"]
    assert (bill.calls, bill.unpriced, bill.nano) == (5, 1, 4 * 5000)


@pytest.mark.parametrize(("tokens", "nano"), [(Tokens(input=1), 35), (Tokens(cache_read=2), 18), (Tokens(), 0)])
def test_fractions_of_a_nano_are_rounded_half_to_even(tokens: Tokens, nano: int) -> None:
    line = Bill().add(
        id="1",
        model="amazon.nova-micro-v1:0",
        called="amazon.nova-micro-v1:0",
        region="us-east-1",
        service_tier="standard",
        tokens=tokens,
        outcome="complete",
    )
    assert line.nano == nano
