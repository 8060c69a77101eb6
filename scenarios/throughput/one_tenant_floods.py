"""A tenant's import job sends everything it has at once."""

import asyncio

from hapenny.core.errors import Failure
from hapenny.simulation.provider import Limit
from scenarios.scene import STRONG, Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.3",
    title="One tenant floods",
    happens="Tenant `importer` fires four hundred requests. Shoppers of the tenant `shop` ask a few at the same time.",
    does="Tenants take turns at a full quota, by weight: a flood waits behind itself, and the others hardly notice.",
    sees="`hapenny profile --tenant NAME` and the report by tenant.",
    act="Give the importer a key with a priority below 0, and limits a minute.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="The other tenants' waits are back at their usual seconds.",
    naive="Everybody shares one key, so that nobody can take turns.",
)
BOUNDED = {
    "stages": {
        "throughput": {
            "gate": {"patience_s": 30},
            "models": {STRONG: {"quota": {"requests_per_minute": 300}}},
        }
    },
    "routes": {"default": {"begin_s": 60, "finish_s": 120, "stages": {"exact": "off", "flights": "off"}}},
}


async def run(scene: Scene) -> None:
    async with scene.open(BOUNDED, quotas={"*": Limit(300, None)}):
        waits: dict[str, list[float]] = {"importer": [], "shop": []}

        async def one(number: int, tenant: str) -> None:
            started = scene.clock.now()
            try:
                await scene.ask(f"Volume {number}, {tenant}?", tenant="all" if scene.broken else tenant)
                waits[tenant].append(scene.clock.now() - started)
            except Failure:
                waits[tenant].append(120.0)

        flood = [asyncio.create_task(one(number, "importer")) for number in range(800)]
        await scene.clock.sleep(5)
        await asyncio.gather(*(one(number, "shop") for number in range(10)))
        await asyncio.gather(*flood)
        assert max(waits["shop"]) < 20
        assert max(waits["importer"]) > 60
