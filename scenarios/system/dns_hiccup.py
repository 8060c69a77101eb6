"""The provider's name cannot be resolved for a moment."""

import json

from hapenny.config import load
from hapenny.gateway.gateway import Gateway
from scenarios.scene import FAST, PLAIN, Scenario, Scene, merged

SCENARIO = Scenario(
    skill="4.2.6",
    real=True,
    title="A DNS hiccup",
    happens="The resolver fails for some seconds. No call has left the machine, so all of them may be tried again.",
    does="A name that does not resolve is an error of the connection before anything was sent: it is tried "
    "again, and a fallback at another provider takes over. The client sees an answer.",
    sees="The error's text names the host; `hapenny doctor` resolves each provider's name.",
    act="Run a caching resolver on the host.",
    check="hapenny doctor -c hapenny.yaml",
    proof="Each provider's name resolves, and no row is served by the fallback.",
    without={"fallbacks": {"strong": []}},
)


async def run(scene: Scene) -> None:
    config = {
        "backends": {"lost": {"kind": "openai", "base_url": "http://nowhere.invalid/v1", "api_key": "k"}},
        "models": {"far": {"id": "gpt-4o", "backend": "lost"}},
        "tiers": {"strong": "far", "fast": FAST},
        "fallbacks": {"strong": ["fast"]},
        "default_backend": "simulated",
    }
    whole = merged(merged(PLAIN, {"backends": {"simulated": {"kind": "simulated"}}}), config)
    async with Gateway(load(text=json.dumps(scene.without(whole)))) as gateway:
        scene.gateway = gateway
        text, exchange = await scene.ask("What is volume 3 about?", max_tokens=30)
        assert text
        assert gateway.plays(exchange)
