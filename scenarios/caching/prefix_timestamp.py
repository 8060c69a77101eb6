"""A template puts the time of day at the top of every prompt."""

import msgspec

from hapenny.caching.prefix.lint import lint
from hapenny.core.messages import Message, Request, Text
from scenarios.scene import Scenario, Scene, modes

SCENARIO = Scenario(
    skill="4.1.4",
    title="The prefix cache is broken by a timestamp",
    happens="Since a change of the system prompt the provider's cache is written with every request and never read: "
    "each prompt begins with the minute of the day.",
    does="`hapenny cache lint` names the timestamp and where it stands; with `arrange: split` what all prompts "
    "share is cut off behind the lines that stay the same, and read from the cache again.",
    sees="`hapenny_tokens_total{kind=…}` (writes without reads), the finding of `cache lint`.",
    act="Move the time to the end of the prompt.",
    check="hapenny cache lint --file prompt.json",
    proof="`cache lint` finds nothing, and cached tokens are read more often than written.",
    without=modes(prefix="off"),
)
CACHED = modes(prefix="on", exact="off")


PAGES = "You are the assistant of a manga shop. You know every volume, its price, its stock and its age rating. " * 60


async def run(scene: Scene) -> None:
    request = Request(
        protocol="openai", model="strong", system=(Text(f"The time is 10:42:07.\n{PAGES}"),),
        messages=(Message("user", (Text("When do you open?"),)),),
    )  # fmt: skip
    assert "timestamp" in {finding.rule for finding in lint(request)}
    clean = msgspec.structs.replace(request, system=(Text(PAGES),))
    assert lint(clean) == []
    reads = {}
    for name, moment in (("stamped", lambda n: f"The time is 10:{n:02}:07.\n"), ("clean", lambda n: "")):
        async with scene.open(CACHED, card="current-2026"):
            tokens = []
            for number in range(12):
                _, exchange = await scene.ask(f"Is volume {number} in stock?", system=moment(number) + PAGES)
                row = await scene.row(exchange)
                assert row.tokens is not None
                tokens.append(row.tokens.cache_read)
            reads[name] = sum(tokens)
    assert reads["clean"] > 10_000
    assert reads["stamped"] == 0
