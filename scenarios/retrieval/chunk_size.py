"""Chunks became so large that the sentence that answers drowns."""

from scenarios.scene import Scenario, Scene, searched

SCENARIO = Scenario(
    skill="4.2.2",
    real=True,
    title="The chunk size lowers recall",
    happens="Somebody set chunks of 1,200 tokens. Prompts are long, and the right sentence is often not among what "
    "is sent.",
    does="`hapenny index build` chooses the size from your own documents and questions, and says evidence recall "
    "against tokens sent for each; a size you give stays yours.",
    sees="The table that `index build` prints; tokens by part (`context`) in the report.",
    act="Leave the size out, or take the one with the best recall for its tokens.",
    check="hapenny index eval COLLECTION QUESTIONS",
    proof="Evidence recall is up at fewer tokens a question.",
    naive="Chunks of 1,200 tokens, because somebody set them so.",
)


async def run(scene: Scene) -> None:
    filler = "The keeper of the bridge wrote down who crossed and with which cart. "
    guide = []
    for number in range(40):
        guide.append(
            f"Shelf {number} holds the series {chr(65 + number % 26)}{number}, which costs {300 + number} yen. "
            + filler * 4
        )
    rows = [{"id": "guide", "title": "Guide", "text": "\n\n".join(guide)}]
    sent = {}
    for size in ("80", "1200"):
        folder = await scene.indexed(rows, f"guide{size}", "--size", "1200" if scene.broken else size)
        async with scene.open(searched(folder), says=lambda request, target: "[1]"):
            hits = tokens = 0
            for number in range(0, 40, 4):
                _, exchange = await scene.ask(f"What does the series {chr(65 + number % 26)}{number} cost?")
                text = scene.script.asked[-1][0].messages[-1].text
                hits += f"costs {300 + number} yen" in text
                tokens += len(text) // 4
                del exchange
            sent[size] = (hits, tokens)
    assert sent["80"][0] >= 9
    assert sent["80"][1] < 0.5 * sent["1200"][1]
