"""The provider halves a quota without telling."""

import asyncio
import contextlib

from hapenny.core.errors import Failure
from hapenny.simulation.provider import Limit
from scenarios.scene import NO_CACHE, STRONG, Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.5",
    title="The quota is lowered at noon",
    happens="At noon the account's tokens a minute are halved. The configured figure says otherwise.",
    does="Refusals teach the gateway what is left of the quota: it holds requests back itself instead of having "
    "them refused, and serves about what the provider allows.",
    sees="`hapenny doctor --quotas` (configured against real), the learnt limit in the error's text and metrics.",
    act="Ask for it back (`hapenny plan` says how much is needed); lower priorities of what can wait.",
    check="hapenny doctor --quotas",
    proof="The configured figure is the real one, and 429 are rare.",
    without={"stages": {"throughput": {"models": {STRONG: {"quota": {"learn": False}}}}}},
)


async def run(scene: Scene) -> None:
    async with scene.open(NO_CACHE, quotas={"*": Limit(60, None)}):
        answered = 0

        async def one(number: int) -> None:
            nonlocal answered
            await scene.clock.sleep(number / 4)
            with contextlib.suppress(Failure):
                await scene.ask(f"What is volume {number} about?", max_tokens=40)
                answered += 1

        await asyncio.gather(*(one(number) for number in range(720)))  # three minutes
        quota = scene.provider.quota(STRONG)
        assert answered >= 120
        assert quota.throttled < 0.5 * answered
