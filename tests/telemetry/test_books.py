"""The price walk: every nano-dollar has an owner, and the sums are exact."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.exchange import Target
from hapenny.core.messages import Image, Message, Text, Tool, ToolResult, ToolUse
from hapenny.core.passages import BASELINE_PASSAGES, BaselinePassages, beside
from hapenny.telemetry.capacity import Capacity, prepaid
from tests.telemetry import made


@pytest.fixture
def clock():
    return made.Clock()


@pytest.fixture
def book(clock):
    return made.books(clock)


def balanced(row):
    return row.baseline - sum(row.savings.values()) - row.estimate_error == row.actual


def test_a_plain_request_costs_what_its_call_reports_and_saves_nothing(book, clock):
    ex = made.exchange(clock)
    made.call(book, ex, input=1500, output=400, text="x")
    ex.adopted = ex.calls[0]
    made.deliver(ex)
    row = book.close(ex)
    assert row.actual == 10_500_000  # $.0105: 1,500 in + 400 out on Claude 3 Sonnet
    assert row.savings == {}
    assert row.outcome == "delivered"
    assert balanced(row)


def test_a_request_that_was_served_as_it_came_would_have_cost_what_it_cost(book, clock):
    """Nothing is estimated for it: its provider has counted it."""
    ex = made.exchange(clock)
    made.call(book, ex, input=1500, output=400, text="x", read=300)
    ex.adopted = ex.calls[0]
    made.call(book, ex, input=100, output=1, technique="throughput", purpose="hedge", outcome="abandoned")
    made.deliver(ex)
    row = book.close(ex)
    assert row.baseline == ex.calls[0].cost
    assert row.estimate_error == 0
    assert row.savings == {"throughput": -ex.calls[1].cost}
    assert sum(row.parts.values()) == row.tokens.prompt
    assert row.output_tokens == 400
    assert balanced(row)


def test_routing_saves_the_difference_between_two_models(book, clock):
    ex = made.exchange(clock)
    ex.target = Target("cheap")
    ex.step("routing")
    made.served(book, ex)
    row = book.close(ex)
    tokens = row.tokens
    dear = tokens.input * 3_000 + tokens.output * 15_000
    cheap = tokens.input * 250 + tokens.output * 1_250
    assert row.savings["routing"] == pytest.approx(dear - cheap, rel=0.1)
    assert row.actual == cheap
    assert balanced(row)


def test_a_cache_hit_saves_its_whole_price(book, clock):
    ex = made.exchange(clock)
    ex.step("exact", free=True)
    made.deliver(ex)
    row = book.close(ex)
    assert row.actual == 0
    assert row.estimate_error == 0
    assert row.savings == {"exact": row.baseline}
    assert row.baseline > 0


def test_each_technique_gets_its_own_share(book, clock):
    ex = made.exchange(clock, made.ask("word " * 400))
    ex.request = made.ask("word " * 100)
    ex.step("pruning")
    ex.target = Target("cheap")
    ex.step("routing")
    made.served(book, ex)
    row = book.close(ex)
    assert row.savings["pruning"] > 0
    assert row.savings["routing"] > 0
    assert row.estimate_error < row.actual * 0.1
    assert balanced(row)


def test_the_loser_of_a_hedge_and_a_judge_are_costs_of_their_techniques(book, clock):
    ex = made.exchange(clock)
    made.call(book, ex, input=100, output=10, purpose="hedge", technique="hedging", outcome="abandoned")
    made.call(book, ex, input=50, output=5, purpose="judge", technique="evidence", target=Target("cheap"))
    made.served(book, ex)
    row = book.close(ex)
    assert row.savings == {"hedging": -(100 * 3_000 + 10 * 15_000), "evidence": -(50 * 250 + 5 * 1_250)}
    assert balanced(row)


def test_an_error_has_no_baseline_and_its_calls_still_cost(book, clock):
    ex = made.exchange(clock)
    made.call(book, ex, input=100, output=3, outcome="failed", text="ab", failure=Failure("truncated", "cut"))
    ex.failure = Failure("truncated", "cut")
    row = book.close(ex)
    assert row.baseline == 0
    assert row.actual == 100 * 3_000 + 3 * 15_000
    assert row.outcome == "failed"
    assert balanced(row)


def test_a_throttled_attempt_costs_nothing_and_a_timed_out_one_is_an_upper_bound(book, clock):
    ex = made.exchange(clock)
    throttled = made.call(book, ex, outcome="failed", failure=Failure("rate_limited", "slow down"))
    late = made.call(book, ex, outcome="failed", failure=Failure("timeout", "no answer"), purpose="retry")
    assert (throttled.cost, throttled.provenance) == (0, "reported")
    assert late.provenance == "estimated"
    assert late.tokens.input >= book.prices.prompt(ex.request, ex.target)
    made.served(book, ex)
    row = book.close(ex)
    assert not row.reported
    assert balanced(row)


def test_a_client_that_leaves_midway_is_compared_with_what_it_got(book, clock):
    ex = made.exchange(clock)
    ex.adopted = made.call(book, ex, text="There are two", outcome="abandoned")
    made.deliver(ex, "There are two", stopped=None)
    part = book.close(ex)
    whole = made.exchange(clock)
    made.served(book, whole)
    assert part.outcome == "left"
    assert 0 < part.baseline < book.close(whole).baseline
    assert part.calls[0].provenance == "estimated"
    assert balanced(part)


def test_a_client_that_leaves_before_anything_was_generated_has_no_baseline(book, clock):
    ex = made.exchange(clock)
    made.call(book, ex, outcome="abandoned")
    row = book.close(ex)
    assert row.baseline == 0
    assert row.savings["serve"] < 0
    assert balanced(row)


def test_a_refusal_has_no_baseline(book, clock):
    ex = made.exchange(clock)
    made.served(book, ex)
    ex.stopped = "guardrail"
    row = book.close(ex)
    assert (row.baseline, row.outcome) == (0, "refused")
    assert balanced(row)


def test_an_unknown_price_is_counted_and_never_guessed(book, clock):
    ex = made.exchange(clock, baseline="free-of-price")
    made.served(book, ex)
    row = book.close(ex)
    assert row.unpriced
    assert row.actual is None
    assert book.unpriced == 1


def test_background_work_is_a_cost_without_a_baseline(book, clock):
    ex = made.exchange(clock, background="precompute")
    made.served(book, ex, purpose="precompute", technique="precompute")
    row = book.close(ex)
    assert row.baseline == 0
    assert row.savings == {"precompute": -row.actual}
    assert row.outcome == "background"


def test_a_tier_discount_belongs_to_throughput_unless_the_client_asked_for_it(book, clock):
    ex = made.exchange(clock)
    made.served(book, ex, target=Target("dear", service_tier="batch"))
    row = book.close(ex)
    assert list(row.savings) == ["throughput"]
    assert abs(row.savings["throughput"] - row.actual) < 10
    request = made.ask()
    request = msgspec.structs.replace(
        request, parameters=msgspec.structs.replace(request.parameters, service_tier="batch")
    )
    ex = made.exchange(clock, request)
    made.served(book, ex, target=Target("dear", service_tier="batch"))
    assert list(book.close(ex).savings) == ["service_tier"]


def test_owned_capacity_costs_nothing_a_request_and_saves_the_on_demand_price(clock):
    book = made.books(clock, owned=prepaid([Capacity("own servers", "dear", "owned", 1_000)]))
    ex = made.exchange(clock)
    made.served(book, ex, target=Target("dear", backend="own", service_tier="owned"))
    row = book.close(ex)
    assert row.actual == 0
    assert row.savings == {"owned": row.baseline}
    assert row.alone == row.savings


def test_owned_capacity_that_is_the_baseline_saves_the_on_demand_price_too(clock):
    book = made.books(clock, owned=prepaid([Capacity("ours", "dear", "provisioned", 1_000)]))
    target = Target("dear", service_tier="provisioned")
    ex = made.exchange(clock, baseline=target)
    made.served(book, ex, target=target)
    assert book.totals(ex).saved == book.close(ex).baseline > 0


def test_what_capacity_saves_is_not_known_while_its_bill_is_not(clock):
    book = made.books(clock, owned=prepaid([Capacity("ours", "dear", "provisioned", None)]))
    ex = made.exchange(clock)
    made.served(book, ex, target=Target("dear", service_tier="provisioned"))
    assert book.close(ex).unpriced


# -- prompt caches ---------------------------------------------------------------------------------------------


SYSTEM = Text("You know every manga in this shop by heart. " * 20, checkpoint="default")


def routed(ex):
    """Served by another model, so that what it would have cost as it came is not what it cost."""
    ex.target = Target("cheap")
    ex.step("routing")
    return ex


def turn(book, clock, n=0, **more):
    ex = routed(made.exchange(clock, made.ask(f"question {n}", system=SYSTEM), **more))
    ex.first_out = ex.arrived + 0.1
    served = made.served(book, ex)
    ex.stage_notes.clear()
    return ex, served


def test_the_clients_own_cache_points_are_honoured_in_the_baseline(book, clock):
    first = book.close(turn(book, clock)[0])
    clock.t += 10
    again = book.close(turn(book, clock, 1)[0])
    clock.t += 301
    late = book.close(turn(book, clock, 2)[0])
    assert again.baseline < first.baseline / 3
    assert late.baseline == pytest.approx(first.baseline, rel=0.01)


def test_providers_keep_one_prompt_cache_an_account_whichever_tenant_asks(book, clock):
    first = book.close(turn(book, clock, tenant="t1")[0])
    clock.t += 10
    again = book.close(turn(book, clock, 1, tenant="t2")[0])
    clock.t += 10
    ex = routed(
        made.exchange(clock, made.ask("question 2", system=SYSTEM), baseline=Target("dear", backend="other account"))
    )
    elsewhere = made.served(book, ex)
    assert again.baseline < first.baseline / 3
    assert book.close(ex).baseline == pytest.approx(first.baseline, rel=0.01)
    assert elsewhere.cached is None


def test_each_hit_renews_the_lifetime(book, clock):
    book.close(turn(book, clock)[0])
    for n in range(4):
        clock.t += 200
        row = book.close(turn(book, clock, n)[0])
    cold = made.Clock()
    assert row.baseline < book.close(turn(book, cold, 9, tenant="new")[0]).baseline / 3


def test_two_requests_at_once_both_write(book, clock):
    one = made.exchange(clock, made.ask("a", system=SYSTEM))
    two = made.exchange(clock, made.ask("b", system=SYSTEM))
    for ex in (one, two):
        made.served(book, ex)
    assert book.close(two).baseline == pytest.approx(book.close(one).baseline, rel=0.01)


def test_a_prefix_can_be_read_from_when_its_writer_began_whichever_is_closed_first(book, clock):
    def begin(n):
        ex = made.exchange(clock, made.ask(f"question {n}", system=Text(SYSTEM.text)))
        ex.request = msgspec.structs.replace(ex.request, system=(SYSTEM,))
        ex.step("prefix")
        call = ex.begin_call(ex.target, "serve", "serve")
        ex.on_call(book.settle)
        clock.t += 1
        call.began = clock.now()
        book.begun(ex, call)
        return ex, call

    def end(ex, call, reported):
        prompt = book.prices.prompt(ex.request, ex.target)
        prefix = prompt - book.prices.prompt(made.ask("question 1"), ex.target)
        call.tokens = Tokens(input=prompt - prefix, output=5, **{reported: prefix})
        ex.end_call(call, "complete")
        ex.adopted = call
        made.deliver(ex)
        return book.close(ex)

    slow = begin(1)
    clock.t += 1
    quick = begin(2)
    reader = end(*quick, "cache_read")
    writer = end(*slow, "cache_write")
    assert reader.actual + reader.estimate_error < (writer.actual + writer.estimate_error) / 2
    assert balanced(reader)
    assert balanced(writer)


def cached(book, clock, system, n, input=9, **reported):
    """What the books expect the provider's cache to do with a call, before they see its report."""
    ex = made.exchange(clock, made.ask(f"question {n}", system=system))
    call = ex.begin_call(ex.target, "serve", "serve")
    ex.on_call(book.settle)
    clock.t += 1
    call.began = clock.now()
    book.begun(ex, call)
    clock.t += 1
    call.tokens = Tokens(input=input, output=5, **reported)
    ex.end_call(call, "complete")
    clock.t += 1
    book.close(ex)
    return call.cached


def test_what_the_provider_says_it_wrote_can_be_read_whatever_its_length_was_estimated_at(book, clock):
    short = Text("Be brief.", "default")
    assert cached(book, clock, short, 1, cache_write=11).write == 0  # estimated below the shortest that is cached
    assert cached(book, clock, short, 2, cache_read=11).read > 0


def test_what_the_provider_says_it_did_not_write_cannot_be_read(book, clock):
    first = cached(book, clock, SYSTEM, 1, input=300)
    assert first.write > 0
    again = cached(book, clock, SYSTEM, 2, cache_write=first.write)
    assert (again.read, again.write > 0) == (0, True)
    assert cached(book, clock, SYSTEM, 3).read > 0


def test_a_prefix_stage_pays_the_premium_once_and_earns_the_discount_after(book, clock):
    plain = Text(SYSTEM.text)

    def once(n, reported):
        ex = made.exchange(clock, made.ask(f"question {n}", system=plain))
        ex.request = msgspec.structs.replace(ex.request, system=(SYSTEM,))
        ex.step("prefix")
        prompt = book.prices.prompt(ex.request, ex.target)
        prefix = prompt - book.prices.prompt(made.ask(f"question {n}"), ex.target)
        made.served(book, ex, input=prompt - prefix, **{reported: prefix})
        clock.t += 5
        return book.close(ex)

    writer, reader = once(1, "write"), once(2, "read")
    assert writer.savings["prefix"] < 0 < reader.savings["prefix"]
    assert reader.savings["prefix"] > -writer.savings["prefix"]
    assert abs(writer.estimate_error) < writer.actual * 0.05
    assert abs(reader.estimate_error) < reader.actual * 0.2
    assert balanced(writer)
    assert balanced(reader)


def test_a_growing_conversation_reads_what_the_turn_before_wrote(book, clock):
    history, rows = [], []
    for n in range(3):
        request = made.ask(f"question {n} " * 30, history=history, system=Text(SYSTEM.text), checkpoint="default")
        ex = routed(made.exchange(clock, request))
        made.served(book, ex)
        rows.append(book.close(ex))
        history += [("user", f"question {n} " * 30), ("assistant", "yes")]
        clock.t += 20
    per_token = [row.baseline / row.tokens.prompt for row in rows]
    assert per_token[1] < per_token[0] * 0.7
    assert per_token[2] < per_token[0] * 0.7


def test_a_tool_call_in_other_spacing_is_the_same_prefix(book, clock):
    def turn_of(arguments, n):
        called = Message("assistant", (ToolUse("t1", "find", arguments),))
        found = Message("user", (ToolResult("t1", (Text("page " * 200),)), Text(f"and {n}?", "default")))
        asked = made.ask("Where is it? " * 20)
        request = msgspec.structs.replace(asked, messages=(*asked.messages, called, found))
        ex = routed(made.exchange(clock, request))
        made.served(book, ex)
        clock.t += 10
        return book.close(ex)

    first = turn_of('{"name": "one", "pages": [1, 2]}', 1)
    again = turn_of('{"name":"one","pages":[1,2]}', 1)
    other = turn_of('{"name":"two","pages":[1,2]}', 1)
    assert again.baseline < first.baseline / 2
    assert other.baseline > again.baseline * 2


def test_automatic_caches_read_without_points(book, clock):
    for n in range(2):
        ex = routed(made.exchange(clock, made.ask(f"q {n}", model="auto", system=Text(SYSTEM.text),
                    history=[("user", "word " * 300), ("assistant", "yes")]), baseline="auto"))  # fmt: skip
        made.served(book, ex)
        row = book.close(ex)
        clock.t += 10
        if n == 0:
            first = row
    assert row.baseline < first.baseline * 0.75


# -- learning --------------------------------------------------------------------------------------------------


def test_reported_usage_teaches_the_estimate(book, clock):
    errors = []
    for n in range(150):
        words = " ".join(f"w{(n * 7 + k * k) % 97}" for k in range(20 + n % 30))
        ex = made.exchange(clock, made.ask(words))
        reported = 3 * len(words.split()) + 12
        errors.append(abs(book.prices.prompt(ex.request, ex.target) / reported - 1))
        made.call(book, ex, input=reported, output=40, text="a fine answer " * 8)
        ex.adopted = ex.calls[0]
        made.deliver(ex, "a fine answer " * 8)
        book.close(ex)
    fresh = made.books(clock).prices
    assert sum(errors[100:]) / 50 < 0.03
    assert abs(book.prices.prompt(ex.request, ex.target) / reported - 1) < 0.03
    assert abs(fresh.prompt(ex.request, ex.target) / reported - 1) > 0.05


def test_what_a_provider_adds_where_tools_are_offered_is_learnt_as_one_amount(book, clock):
    tools = (Tool("find_page", "Finds a page.", {"type": "object", "properties": {"page": {"type": "integer"}}}),)
    added = 290  # whatever the tools are, and not in proportion to anything

    def asked(n, offered):
        words = " ".join(f"w{(n * 7 + k * k) % 97}" for k in range(20 + n % 30))
        ex = made.exchange(clock, made.ask(words, tools=tools if offered else ()))
        return ex, 3 * len(words.split()) + 12 + (added + 20 if offered else 0)

    for n in range(150):
        ex, reported = asked(n, n % 2 == 0)
        made.served(book, ex, input=reported)
        book.close(ex)
    for n in (150, 151):
        for offered in (True, False):
            ex, reported = asked(n, offered)
            assert book.prices.prompt(ex.request, ex.target) == pytest.approx(reported, rel=0.03)
    long, _ = asked(0, offered=True)
    spoken = made.ask("a page of plain words that go on " * 200)
    bare = book.prices.prompt(spoken, long.target)
    with_tools = book.prices.prompt(msgspec.structs.replace(spoken, tools=tools), long.target)
    assert with_tools - bare == pytest.approx(added + 20, rel=0.15)


def test_a_prefix_is_as_long_as_the_provider_counts_it(book, clock):
    """What a provider puts before the tools is the first thing that it caches."""
    tools = (Tool("find_page", "Finds a page.", {"type": "object"}, checkpoint="default"),)
    for n in range(60):
        ex = made.exchange(clock, made.ask(f"page {n}", tools=tools))
        made.served(book, ex, input=320 + len(f"page {n}") // 4)
        book.close(ex)
    layout, place = book.prices.layout(ex.request), book.prices.place(ex.target)
    assert place.upto(layout, 0) == pytest.approx(310, rel=0.05)
    assert place.upto(layout, 0) < place.upto(layout, 1) == place.prompt(layout)


def test_a_model_without_reports_is_counted_by_what_its_kin_reported(book, clock):
    words = [f"word{n}x" for n in range(40)]
    for n in range(120):
        text = " ".join(words[n % 7 : n % 7 + 25])
        ex = made.exchange(clock, made.ask(text))
        ex.target = Target("kin-cheap")
        ex.step("tiers")
        made.served(book, ex, input=len(text), output=7, target=Target("kin-cheap"))
        row = book.close(ex)
    assert book.prices.prompt(ex.request, Target("kin-dear")) == pytest.approx(len(text), rel=0.03)
    assert made.books(clock).prices.prompt(ex.request, Target("kin-dear")) != pytest.approx(len(text), rel=0.1)
    assert balanced(row)


def test_images_do_not_spoil_what_was_learned_of_text(book, clock):
    def with_image():
        request = made.ask()
        image = Image("image/png", data=b"\x89PNG")
        return msgspec.structs.replace(request, messages=(Message("user", (Text("what is it?"), image)),))

    before = book.prices.prompt(made.ask(), Target("dear"))
    for _ in range(60):
        ex = made.exchange(clock, with_image())
        made.served(book, ex, input=900, output=8)
        row = book.close(ex)
    assert book.prices.prompt(made.ask(), Target("dear")) == before
    assert abs(row.estimate_error) < row.actual * 0.1


# -- the identity, whatever happens ----------------------------------------------------------------------------

STEPS = st.lists(st.sampled_from(["prune", "route", "prefix", "free", "tier"]), max_size=5)
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["serve", "retry", "hedge", "escalate", "audit", "judge", "embed"]),
        st.sampled_from(["complete", "failed", "abandoned"]),
        st.one_of(st.none(), st.integers(0, 10**6)),
        st.sampled_from(["dear", "cheap", "auto"]),
    ),
    max_size=4,
)


@settings(deadline=None, max_examples=150)
@given(STEPS, CALLS, st.booleans(), st.sampled_from([None, "end_turn", "refusal"]), st.booleans(), st.booleans())
def test_every_row_adds_up(steps, calls, delivered, stopped, failed, adopt):
    clock = made.Clock()
    book = made.books(clock)
    ex = made.exchange(clock, made.ask("word " * 50, system=SYSTEM))
    for step in steps:
        if step == "prune":
            ex.request = made.ask("word " * 20, system=SYSTEM)
        elif step == "route":
            ex.target = Target("cheap")
        elif step == "tier":
            ex.target = Target("dear", service_tier="batch")
        elif step == "prefix":
            ex.request = msgspec.structs.replace(ex.request, checkpoint="1h")
        ex.step(step, free=step == "free")
    for purpose, outcome, tokens, model in calls:
        failure = Failure("upstream", "odd") if outcome == "failed" else None
        last = made.call(book, ex, input=tokens, output=7, purpose=purpose, technique=purpose, outcome=outcome,
                         failure=failure, target=Target(model))  # fmt: skip
        if adopt and outcome != "failed":
            ex.adopted = last
    ex.delivered, ex.stopped, ex.output = delivered, stopped, "some words" if delivered else ""
    if failed:
        ex.failure = Failure("timeout", "late")
    told = book.totals(ex)
    row = book.close(ex)
    assert balanced(row)
    assert (told.actual, told.saved, told.savings) == (row.actual, row.saved, row.savings)
    assert row.actual == sum(c.cost for c in row.calls)
    assert book.violations == 0
    assert (row.baseline > 0) == (delivered and not failed and stopped != "refusal")


def test_walking_for_the_headers_first_gives_the_same_books(book, clock):
    ex = made.exchange(clock, made.ask("hello", system=SYSTEM))
    ex.request = made.ask("hello", system=Text(SYSTEM.text))
    ex.step("window")
    made.served(book, ex)
    early = book.walk(ex, delivered=True)
    row = book.close(ex)
    assert (row.baseline, row.savings, row.actual) == (early.baseline, early.savings, early.actual)


def test_rows_hold_no_text(book, clock):
    ex = made.exchange(clock, made.ask("my secret question"), user="alice@example.com", session="s-1")
    made.served(book, ex, text="my secret answer")
    blob = msgspec.msgpack.encode(book.close(ex))
    for secret in (b"secret", b"alice", b"s-1"):
        assert secret not in blob


PASSAGES = "Volume three of the series has two hundred pages and a map. " * 40


def retrieved(ex, text=PASSAGES, *, compared=None):
    """What the retrieval stage does: `text` goes into the prompt, `compared` is what the application would send."""
    if compared is not None:
        ex.stage_notes[BASELINE_PASSAGES] = BaselinePassages(compared, len(ex.steps), compared == text)
    if text:
        ex.request = beside(ex.request, text)
    ex.step("retrieval")


def test_passages_that_the_application_would_have_sent_neither_cost_nor_save(book, clock):
    ex = made.exchange(clock)
    retrieved(ex, compared=PASSAGES)
    ex.request = beside(made.ask(), PASSAGES[:600])
    ex.step("prune")
    made.served(book, ex)
    row = book.close(ex)
    assert row.savings.get("retrieval", 0) == 0
    assert row.savings["prune"] > row.actual
    assert row.baseline > row.actual
    assert balanced(row)


def test_passages_for_an_application_that_sends_none_are_a_cost(book, clock):
    ex = made.exchange(clock)
    retrieved(ex)
    made.served(book, ex)
    row = book.close(ex)
    assert row.savings["retrieval"] < 0
    assert balanced(row)


@pytest.mark.parametrize("sent", [PASSAGES[:600], ""])
def test_fewer_passages_than_the_application_would_send_are_retrievals_saving(book, clock, sent):
    ex = made.exchange(clock)
    retrieved(ex, sent, compared=PASSAGES)
    made.served(book, ex)
    row = book.close(ex)
    assert row.savings["retrieval"] > 0
    assert row.baseline == row.actual + row.savings["retrieval"] + row.estimate_error
    assert balanced(row)


def test_what_comes_before_retrieval_is_not_credited_with_the_passages(book, clock):
    ex = made.exchange(clock, made.ask("word " * 100))
    ex.request = made.ask("word " * 50)
    ex.step("templates")
    alone = made.exchange(clock, made.ask("word " * 100))
    alone.request = ex.request
    alone.step("templates")
    retrieved(ex, compared=PASSAGES)
    made.served(book, ex)
    made.served(book, alone)
    row, bare = book.close(ex), book.close(alone)
    assert row.savings["templates"] == pytest.approx(bare.savings["templates"], rel=0.05)
    assert row.savings.get("retrieval", 0) == 0
    assert balanced(row)


def test_an_answer_from_the_cache_is_compared_with_the_question_and_its_passages(book, clock):
    first = made.exchange(clock)
    retrieved(first, compared=PASSAGES)
    made.served(book, first)
    ex = made.exchange(clock)
    ex.answer.passages = first.calls[0].tokens.input - book.prices.prompt(made.ask(), first.target)
    ex.step("exact", free=True)
    made.deliver(ex)
    row = book.close(ex)
    assert row.savings == {"exact": row.baseline}
    assert row.baseline == pytest.approx(book.close(first).baseline, rel=0.02)
