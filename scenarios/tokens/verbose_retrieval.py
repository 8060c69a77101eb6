"""A search returns ten long passages for a question that one sentence answers."""

from scenarios.scene import Scenario, Scene, modes

SCENARIO = Scenario(
    skill="4.1.1",
    title="Verbose retrieval",
    happens="The search index was rebuilt with larger chunks. Prompts have grown to three times their size, the "
    "answers are the same.",
    does="Passages are cut to the sentences that the question needs; the evidence stays. The books show what "
    "that saved, and audits compare the answers.",
    sees="The report's line `prune`; prompt tokens by part (`context`) in `/metrics`.",
    act="Rebuild the index with smaller chunks (`hapenny index tune`); until then `prune` carries it.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="Context tokens a request are back; the audits' quality beside `prune` has not moved.",
    without=modes(prune="off"),
)
CUT = {"stages": {"prune": {"seconds": 5}}, "routes": {"default": {"stages": {"prune": "on"}}}}


async def run(scene: Scene) -> None:
    async with scene.open(CUT, says=lambda request, target: "It has four thousand pipes."):
        filler = "Gulls rest upon the northern tower through the winter and leave in spring. " * 8
        passages = [f"{filler} Part {number} of the guide." for number in range(9)]
        passages.append(f"{filler} The organ has four thousand pipes of tin.")
        sources = "\n".join(f'<source number="{n}">\n{text}\n</source>' for n, text in enumerate(passages, 1))
        _, exchange = await scene.ask(f"<sources>\n{sources}\n</sources>\nHow many pipes does the organ have?")
        sent = scene.script.asked[0][0].messages[-1].text
        assert "four thousand pipes" in sent
        assert len(sent) < 0.6 * len(exchange.original.messages[-1].text)
        assert (await scene.row(exchange)).savings["prune"] > 0
