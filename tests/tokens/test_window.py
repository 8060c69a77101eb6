"""The window only appends until compaction pays; pairs stay together; what is dropped leaves its facts."""

import itertools
import json

import pytest

from hapenny.core.messages import Data, Message, Text, Thinking, ToolResult, ToolUse
from hapenny.tokens.lossless import Shrinker
from hapenny.tokens.pack import Window
from hapenny.tokens.window import (
    CachePrices,
    WindowOptions,
    append_only,
    call_cost,
    clearing_pays,
    facts_of,
    orphans,
    texts_of,
)


def count(text: str) -> float:
    return len(text.encode()) / 4


def user(text: str) -> Message:
    return Message("user", (Text(text),))


def said(text: str) -> Message:
    return Message("assistant", (Text(text),))


def call(number: int, text: str) -> list[Message]:
    use = Message("assistant", (Thinking("hm", "signed"), ToolUse(f"c{number}", "lookup", '{"n": 1}')))
    return [use, Message("user", (ToolResult(f"c{number}", (Text(text),)),))]


def rows(number: int, size: int = 12) -> str:
    return json.dumps([{"order": f"O-{number}{n:03}", "status": "shipped", "price": n + 0.5} for n in range(size)])


def conversation(turns: int, size: int = 12) -> list[Message]:
    messages: list[Message] = []
    for number in range(turns):
        messages += [
            user(f"question {number} about parcel {number}"),
            *call(number, rows(number, size)),
            said("It is on its way."),
        ]
    return messages


def test_appending_never_changes_the_prefix() -> None:
    shrink = Shrinker()
    messages = conversation(6)
    before: list[Message] = []
    for end in range(1, len(messages) + 1):
        packed, _, _ = append_only(messages[:end], shrink, count, WindowOptions())
        assert packed[: len(before)] == before
        before = packed
    assert sum(count(t) for m in before for t in texts_of(m)) < 0.6 * sum(
        count(t) for m in messages for t in texts_of(m)
    )


def test_equal_results_are_said_once_and_errors_are_left_alone() -> None:
    same = rows(1)
    messages = [user("a"), *call(1, same), *call(2, same)]
    packed, _, references = append_only(messages, Shrinker(), count, WindowOptions())
    assert references == 1
    assert "c1" in texts_of(packed[4])[0]
    failed = [user("a"), *call(1, same), Message("user", (ToolResult("c1", (Text(same),), error=True),))]
    packed, _, references = append_only(failed, Shrinker(), count, WindowOptions())
    assert references == 0
    assert packed[3] is failed[3]


def test_json_values_become_rows_and_untouched_results_stay() -> None:
    value = json.loads(rows(1))
    messages = [
        user("a"),
        Message("assistant", (ToolUse("c1", "x"),)),
        Message("user", (ToolResult("c1", (Data(value),)),)),
    ]
    packed, shortened, _ = append_only(messages, Shrinker(), count, WindowOptions())
    assert shortened == 1
    assert "status=shipped" in texts_of(packed[2])[0]
    packed, shortened, _ = append_only(messages, Shrinker(), count, WindowOptions(), frozenset({"c1"}))
    assert shortened == 0
    assert packed[2] is messages[2]


def test_over_the_limit_whole_turns_go_and_nothing_is_orphaned() -> None:
    messages = conversation(12)
    window = Window(WindowOptions(limit=700, facts=200))
    packed = window.pack("s", messages, count, question="question 3 about parcel 3 O-3007")
    total = sum(count(text) for message in packed.messages for text in texts_of(message))
    assert packed.dropped > 0
    assert total < 700
    assert orphans(packed.messages) == 0
    assert packed.messages[0].content[0] == messages[0].content[0]
    assert packed.messages[-4:] == tuple(append_only(messages, Shrinker(), count, WindowOptions())[0][-4:])
    assert "Facts from them" in texts_of(packed.messages[0])[-1]


def test_what_was_dropped_stays_dropped_so_that_the_prefix_holds() -> None:
    messages = conversation(14, 6)
    window = Window(WindowOptions(limit=400))
    changed = 0
    before: tuple[Message, ...] = ()
    for end in range(1, len(messages) + 1, 4):
        packed = window.pack("s", messages[:end], count).messages
        same = sum(a == b for a, b in zip(before, packed, strict=False))
        changed += bool(before) and same < min(len(before), len(packed))
        before = packed
    assert 1 <= changed <= 6


def test_another_conversation_that_begins_alike_keeps_its_own_past() -> None:
    window = Window(WindowOptions(limit=700))
    long = conversation(14, 6)
    assert window.pack("", long, count).dropped
    other = [*long[:4], *(user(f"about the garden {n}") for n in range(56))]
    assert window.pack("", other, count).dropped == 0
    assert window.pack("", long, count).dropped


def test_after_a_drop_the_next_turns_only_append_whatever_was_noted() -> None:
    window = Window(WindowOptions(limit=900, recent=4, facts=600))
    turns = [
        (user(f"question {n} about my parcel A-{n}01 " + "tell me more " * 20), said(f"Parcel A-{n}01 is here. " * 10))
        for n in range(20)
    ]
    messages = [message for pair in turns for message in pair]
    seen = []
    for end in range(27, 31, 2):
        packed = window.pack("s", messages[:end], count)
        if packed.lost:
            packed = window.summarised("s", messages[:end], packed, "They talked about parcels, which are here. " * 6)
        seen.append(packed.messages)
        assert sum(count(text) for message in packed.messages for text in texts_of(message)) < 900
    assert all(later[: len(first)] == first for first, later in itertools.pairwise(seen))


def test_under_a_prefix_cache_drops_are_few_and_deep() -> None:
    def drops(prices: CachePrices | None) -> int:
        window = Window(WindowOptions(limit=1500))
        messages = conversation(40, 14)
        seen = [window.pack("s", messages[:end], count, prices=prices).dropped for end in range(4, 161, 4)]
        return len({dropped for dropped in seen if dropped})

    assert 1 <= drops(CachePrices()) < drops(None)


def test_recall_brings_back_the_turn_that_is_asked_about() -> None:
    messages = conversation(10, 4)
    messages[8] = user("my cat is called Professor Whiskers")
    window = Window(WindowOptions(limit=300))
    packed = window.pack("s", messages, count, question="what is my cat Professor Whiskers called")
    assert packed.dropped
    assert any("Professor Whiskers" in text for message in packed.messages for text in texts_of(message))


def test_clearing_waits_until_it_pays_for_itself() -> None:
    prices = CachePrices()
    assert not clearing_pays(1000, 500, 0.0, 50, prices)
    assert clearing_pays(1000, 100, 1000.0, 50, prices)
    assert not clearing_pays(100, 1000, 10_000.0, 5, prices)


def test_call_cost_follows_the_cache() -> None:
    prices = CachePrices()
    assert call_cost(1000, 900, prices) == 1000
    assert call_cost(2000, 0, prices) == 2500
    assert call_cost(2000, 1500, prices) == pytest.approx(150 + 625)
    assert call_cost(2000, 1000, prices) == 2500


def test_facts_are_verbatim_and_bounded() -> None:
    text = "Order O-1234 for Mia Li <mia.li@example.com> on 2024-05-20, total 129.99, see https://x.example/a?b=1"
    facts = facts_of([text], 500)
    for fact in ("O-1234", "Mia Li", "mia.li@example.com", "2024-05-20", "129.99", "https://x.example/a?b=1"):
        assert fact in facts
    assert len(facts_of([text], 30)) <= 30


def test_options_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="recent"):
        WindowOptions(recent=1)
