"""What a stored answer weighs: whatever it holds counts towards the store's bound."""

import pytest

from hapenny.caching.exact import size_of
from hapenny.core.events import Choice, Completion, Other
from hapenny.core.messages import Opaque, Text, Thinking, ToolUse

MEGA = "x" * (1 << 20)


def of(*content, **more):
    return Completion(choices=[Choice(content=list(content), **more.pop("choice", {}))], **more)


@pytest.mark.parametrize(
    "completion",
    [
        of(Text(MEGA)),
        of(Text("a", citations=({"type": "x", "cited_text": MEGA},))),
        of(Text("a", extras={"openai": {"x": MEGA}})),
        of(Thinking(MEGA)),
        of(Thinking("", MEGA)),
        of(Thinking("", redacted=MEGA)),
        of(ToolUse("a", "f", f'{{"x":"{MEGA}"}}')),
        of(ToolUse("a", "f", "{}", extras={"openai": {"x": MEGA}})),
        of(Opaque("openai", {"image": MEGA})),
        of(Text("a"), choice={"extras": {"openai": {"message": {"audio": {"data": MEGA}}}}}),
        of(Text("a"), extras={"openai": {"x": MEGA}}),
        of(Text("a"), others=[Other({"x": MEGA}, "anthropic:novel")]),
    ],
    ids=lambda completion: type(completion.choices[0].content[0]).__name__,
)
def test_every_part_of_an_answer_counts(completion):
    assert 2 << 20 <= size_of(completion) < (2 << 20) + 2_000


def test_a_usual_answer_is_small():
    assert size_of(of(Text("Half a penny"))) < 600
