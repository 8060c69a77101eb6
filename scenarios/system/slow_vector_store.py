"""A search takes longer than the request can wait."""

from scenarios.scene import Scenario, Scene, merged, searched

SCENARIO = Scenario(
    skill="4.2.6",
    real=True,
    title="A slow vector store",
    happens="The vector database answers in seconds instead of milliseconds.",
    does="A search has its own limit: what it has found by then is used, and the answer is made without the "
    "rest. The time is seen as retrieval's, not as the model's.",
    sees="`Server-Timing`, the step `retrieval` of the latency page, `hapenny profile` (verdict: retrieval).",
    act="Look at the store: `hapenny index tune`, more memory, fewer dimensions.",
)


async def run(scene: Scene) -> None:
    folder = await scene.indexed([{"id": "1", "title": "Bridge", "text": "Crossing the bridge costs half a penny."}])
    config = merged(searched(folder), {"stages": {"retrieval": {"seconds": 0.0001}}})
    async with scene.open(config, says=lambda request, target: "Half a penny.", seconds=0.01):
        started = scene.clock.now()
        text, exchange = await scene.ask("What does crossing the bridge cost?")
        assert text == "Half a penny."
        assert scene.clock.now() - started < 2.0
        assert exchange.failure is None
