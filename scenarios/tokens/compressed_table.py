"""A model reads a tool result that was written as a table, and mixes up two columns."""

import json

from hapenny.core.messages import Message, Text, ToolResult, ToolUse
from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.1.1",
    title="A compressed table is misread",
    happens="Search results go to the model as compact tables. For one tool (prices by shop) answers name the wrong "
    "shop.",
    does="The table is lossless: it was read back and gave the same JSON before it was sent. Results of tools "
    "named in `tools_untouched` reach the model as they came.",
    sees="`x-hapenny-notes` says what was rewritten; the report's line `structure` what it saves.",
    act="Add the tool to `tools_untouched`, compare both on your own questions (`hapenny compare`).",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="Answers that use the tool are right again; `structure` saves less by that tool's share.",
    without={"stages": {"structure": {"tools_untouched": []}}},
)


def asked() -> list[Message]:
    prices = [{"shop": f"Shop {n}", "yen": 480 + n, "stock": n % 4, "language": "ja"} for n in range(20)]
    return [
        Message("user", (Text("Where is volume 3 cheapest?"),)),
        Message("assistant", (ToolUse(id="t1", name="prices"),)),
        Message("user", (ToolResult(id="t1", content=(Text(json.dumps(prices)),)),)),
    ]


async def run(scene: Scene) -> None:
    for untouched in ([], ["prices"]):
        config = {"stages": {"structure": {"tools_untouched": untouched}}}
        async with scene.open(config, says=lambda request, target: "Shop 0, 480 yen."):
            await scene.ask(messages=asked())
            sent = scene.script.asked[0][0].messages[-1].content[0]
            as_it_came = sent.content[0].text == asked()[-1].content[0].content[0].text  # type: ignore[union-attr]
            assert as_it_came == bool(untouched)
