"""Pruning with the provider's prompt cache: a turn's passages are pruned alike in every later turn."""

import pytest

from hapenny.caching.prefix.marks import marked
from hapenny.core.messages import Document, Message, Text
from tests.crossing.house import CONFIG, house

CONFIG = (
    CONFIG.replace("kind: simulated", "kind: simulated, card: current-2026")
    .replace("embedder: hashed}", "embedder: hashed}, prune: {floor: 100, seconds: 60}")
    .replace("p7}", "p7, stages: {prune: on}}")
)
SAID = {
    name: " ".join(sentence.format(year=1700 + 3 * n, n=n) for n in range(120))
    for name, sentence in {
        "bridge": "In {year} crossing the bridge cost {n} pence.",
        "mill": "The mill by the weir ground {n} sacks of barley in {year}.",
        "harbour": "In {year} some {n} ships moored in the harbour when the tide was high.",
    }.items()
}


def passages(form):
    """The same passages, as documents or written into the turn."""
    if form == "documents":
        return tuple(Document(media_type="text/plain", text=text, name=name) for name, text in SAID.items())
    written = "".join(f'<document title="{name}">\n{text}\n</document>\n' for name, text in SAID.items())
    return (Text(f"<documents>\n{written}</documents>\n"),)


def conversation(form, turn):
    messages = [Message("user", (*passages(form), Text("What did crossing the bridge cost over the years?")))]
    for number in range(turn):
        messages.append(Message("assistant", (Text(f"Answer {number}."),)))
        messages.append(Message("user", (Text(f"And what of the year {1816 + number}?"),)))
    return tuple(messages)


@pytest.mark.parametrize("form", ["documents", "tags"])
async def test_the_pruned_prefix_is_read_from_the_cache_turn_after_turn(form):
    async with house(config=CONFIG) as there:
        decided = []
        for turn in range(6):
            _, exchange = await there.ask(messages=conversation(form, turn))
            decided.append({each.stage: each.decision for each in exchange.decisions})
        sent = [request.messages[0] for request, _ in there.shop.asked]
        assert len(sent) == 6
        plain = [[block for block in message.content if not isinstance(block, Text) or block.text] for message in sent]
        words = [[getattr(block, "text", None) for block in blocks] for blocks in plain]
        assert all(each == words[0] for each in words)
        assert sum(map(len, words[0])) < sum(len(text) for text in SAID.values())
        assert all(each["prune"].after < each["prune"].before for each in decided)
        assert marked(there.shop.asked[-1][0]) > 0
        assert exchange.adopted.tokens.cache_read > 1_000
