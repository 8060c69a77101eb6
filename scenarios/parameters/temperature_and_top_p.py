"""A client sets temperature and top_p, which some models refuse together."""

from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.4",
    title="Temperature and top_p both set",
    happens="A library sends `temperature: 0.3` and `top_p: 0.9` with every request. Newer Claude models answer 400 "
    "to both together.",
    does="Where a model refuses both together one of them is left out, and the answer's notes say which; where a "
    "model takes both, both go.",
    sees="`x-hapenny-notes`; the ledger keeps what was sent.",
    act="Set only one of them in the application.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="No request fails with 400, and the notes are gone once one of both is left out.",
    without={"stages": {"parameters": {"refused": "reject"}}},
)
MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"


async def run(scene: Scene) -> None:
    async with scene.open({"tiers": {"strong": MODEL}}, card="current-2026"):
        text, exchange = await scene.ask("What is volume 3 about?", temperature=0.3, top_p=0.9)
        assert text
        assert any("top_p" in note for note in exchange.notes)
    async with scene.open():
        _, exchange = await scene.ask("What is volume 3 about?", temperature=0.3, top_p=0.9)
        assert not any("top_p" in note for note in exchange.notes)
