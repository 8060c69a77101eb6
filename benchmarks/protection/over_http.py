"""A scene over real HTTP: provider and gateway are processes of their own, the customers speak through sockets.

What the gateway had learnt before is written to its state file by a gateway of the same configuration in this process.
"""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import urllib.request
from pathlib import Path

from benchmarks.protection import scenes
from benchmarks.protection.scenes import CARD, Outcome
from benchmarks.techniques.__main__ import bill, launch
from hapenny.config import load
from hapenny.core.clock import RealClock
from hapenny.gateway.gateway import Gateway
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.workload import truth_file
from hapenny.simulation.workload.mix import Mix
from hapenny.simulation.workload.shoppers import Message, Population
from hapenny.studies.driver import Seen, drive
from hapenny.telemetry.summary import summarise

_ENOUGH = "1000000000"
_CONFIG = """
server: {{port: 0}}
backends:
  bedrock: {{kind: bedrock, region: us-east-1, base_url: "{provider}", api_key: simulated}}
tiers: {tiers}
routes:
  default: {{baseline: strong, preset: balanced, max_quality_loss: {loss}, holdout: 0, stages: {modes}}}
ledger: {{path: "{ledger}", flush_s: 0.25}}
"""


WRONG = {"wrong30": 0.3, "wrong10": 0.1}
"""The scenes that are played over HTTP too: the share of its questions that the cheap model gets wrong."""


def play(mix: Mix, seed: int, count: int, rate: float, wrong: float) -> Outcome:
    """One run, `rate` messages a second: the cheap model gets a share of its questions wrong from the middle on."""
    population, messages = scenes.traffic(mix, seed, count)
    earlier = scenes.earlier(mix, seed, count)
    lineup = LINEUPS[CARD]
    tiers = lineup.tiers()
    half = len(messages) // 2
    with tempfile.TemporaryDirectory() as folder:
        truth, ledger, config = Path(folder, "truth"), Path(folder, "ledger.db"), Path(folder, "hapenny.yaml")
        truth_file.save(truth, ((each.text, each.follows, each.item) for each in messages))
        provider, provider_url = launch(
            ["simulate", "--port", "0", "--card", CARD, "--truth", str(truth), "--latents", str(seed), "--rpm",
             _ENOUGH, "--tpm", _ENOUGH]
        )  # fmt: skip
        try:
            config.write_text(
                _CONFIG.format(
                    provider=provider_url, tiers=json.dumps(tiers), loss=scenes.LOSS, modes=json.dumps(scenes.MODES),
                    ledger=ledger,
                )
            )  # fmt: skip
            asyncio.run(_teach(config, earlier, seed))
            gateway, url = launch(["serve", "-c", str(config)])
            try:
                before = _drive(url, messages[:half], population, rate)
                _change(provider_url, str(tiers["fast"]), wrong)
                after = _drive(url, messages[half:], population, rate)
            finally:
                gateway.send_signal(signal.SIGTERM)
                gateway.wait(60)
            paid = bill(provider_url)
        finally:
            provider.terminate()
            provider.wait(30)
        return _outcome(before, after, messages[half:], str(tiers["fast"]), str(ledger), paid)


async def _teach(config: Path, earlier: list[Message], seed: int) -> None:
    async with Gateway(load(config)) as gateway:
        scenes.certify(gateway, earlier, seed)


def _drive(url: str, messages: list[Message], population: Population, rate: float) -> list[Seen]:
    seconds = len(messages) / rate
    return asyncio.run(drive(url, messages, population.shop, RealClock(), seconds=seconds, model=scenes.asked_for))


def _change(url: str, model: str, wrong: float) -> None:
    body = json.dumps({"model": model, "wrong": wrong}).encode()
    request = urllib.request.Request(f"{url}/simulate/change", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        answer.read()


def _outcome(
    before: list[Seen], after: list[Seen], messages: list[Message], cheap: str, ledger: str, paid: int
) -> Outcome:
    books = summarise(ledger)
    tiers = [each for each in books.budgets if each.technique == "tiers"]
    refuted = bool(tiers) and tiers[-1].state == "refuted"
    wrong, until = 0, 0
    for place, (seen, message) in enumerate(zip(after, messages, strict=True)):
        if cheap in seen.models:
            until = place + 1
            wrong += not message.item.grade(seen.text)
    every = [*before, *after]
    return Outcome(
        wrong=wrong,
        audit_share=sum(each.cost for each in books.judging) / paid if paid else 0.0,
        stepbacks=int(refuted),
        suspensions=int(refuted or (bool(tiers) and tiers[-1].state == "suspended")),
        stepped_back=refuted,
        routed_share=sum(cheap in each.models for each in every) / max(1, len(every)),
        after=until,
    )
