"""The disk of the ledger is gone for a while."""

import shutil

from hapenny.telemetry.summary import summarise
from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.6",
    title="A store is lost and comes back",
    happens="The volume with the ledger is unmounted for a minute and comes back empty.",
    does="Requests go on; rows wait in memory (and in a spill file when it lasts), the loss is said in health "
    "and log, and writing goes on by itself.",
    sees="Health `degraded` with the reason, `hapenny_ledger_waiting_rows`, one log line.",
    act="Mount it again; the old file may be put back while hapenny is stopped.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="Rows of the minutes without a disk are in the books; no row waits.",
    without={"ledger": {"queue": 1}},  # rows cannot wait
)


async def run(scene: Scene) -> None:
    path = scene.folder / "books" / "ledger.db"
    async with scene.open({"ledger": {"path": str(path)}}, says=lambda request, target: "At nine."):
        for number in range(5):
            await scene.row((await scene.ask(f"Question {number}?"))[1])
        shutil.rmtree(path.parent)
        for number in range(5, 10):
            text, _ = await scene.ask(f"Question {number}?")
            assert text == "At nine."
        for number in range(10, 15):
            _, exchange = await scene.ask(f"Question {number}?")
            await scene.clock.sleep(2)
        assert scene.gateway.ledger is not None
        await scene.gateway.ledger.flush()
        assert (await scene.gateway.ledger.get(exchange.id)) is not None
        assert path.exists()
        assert summarise(str(path)).exchange_rows >= 10  # what was asked while it was gone is in the new file
