"""The window with the provider's prompt cache: what was left out stays out, and points stand in what is really sent."""

import itertools

import pytest

from hapenny.caching.prefix.marks import marked
from hapenny.core.errors import Failure
from hapenny.core.messages import Message, Text
from tests.crossing.house import CONFIG, house

SMALL = "amazon.nova-micro-v1:0"
"""A model whose prompts are cached, and whose context is small."""
FILLER = "The keeper of the bridge wrote down who crossed, when, and with which cart, in a book that nobody read. "


def turns(count, long=4):
    """A conversation of `count` questions, each answered but the last."""
    messages = []
    for number in range(count):
        messages.append(Message("user", (Text(f"Question {number}: who crossed on day {number}? {FILLER * long}"),)))
        messages.append(Message("assistant", (Text(f"Answer {number}: cart {number} crossed. {FILLER * long}"),)))
    return tuple(messages[:-1])


def told(**stages):
    options = "".join(f", {name}: {{{options}}}" for name, options in stages.items())
    return (
        CONFIG.replace("kind: simulated", "kind: simulated, card: current-2026")
        .replace("embedder: hashed}", f"embedder: hashed}}{options}")
        .replace("p7}", "p7, stages: {window: on, exact: off}}")
    )


def texts(request):
    return [message.text for message in request.messages]


async def test_a_conversation_at_its_limit_still_grows_behind_a_prefix_that_stays():
    async with house(config=told(window="limit: 2600, recent: 4")) as there:
        reads = []
        for count in range(16, 26):
            _, exchange = await there.ask(messages=turns(count))
            reads.append(exchange.adopted.tokens.cache_read)
        sent = [texts(request) for request, _ in there.shop.asked]
        assert all(len(now) < 2 * count - 1 for now, count in zip(sent, range(16, 26), strict=True))
        assert sum(now[: len(before)] == before for before, now in itertools.pairwise(sent)) >= 4
        assert marked(there.shop.asked[-1][0])
        assert sum(read > 512 for read in reads) >= 3


@pytest.mark.parametrize("arrange", ["off", "move"])
async def test_a_prompt_refused_as_too_long_is_asked_again_shorter_and_so_from_then_on(arrange):
    conversation = turns(6, 300)
    whole = sum(len(message.text) for message in conversation)

    def says(request, target):
        if sum(map(len, texts(request))) > 0.9 * whole:
            return Failure("context_overflow", "prompt is too long")
        return "Cart 7."

    async with house(says, told(window="recent: 4", prefix=f"arrange: '{arrange}'")) as there:
        answer, _ = await there.ask(messages=conversation, model=SMALL)
        refused, served = (request for request, _ in there.shop.asked)
        assert answer == "Cart 7."
        assert sum(map(len, texts(served))) < 0.9 * whole < sum(map(len, texts(refused)))
        assert texts(served)[-1] == texts(refused)[-1]
        for _ in range(3):  # the model's room is known by now: the same bytes are sent at once, and read from the cache
            _, again = await there.ask(messages=conversation, model=SMALL)
            assert texts(there.shop.asked[-1][0]) == texts(served)
        assert len(there.shop.asked) == 5
        assert again.adopted.tokens.cache_read > 1_000
