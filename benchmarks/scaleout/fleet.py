"""Gateways that act as one: one configuration, two more lines."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.scaleout.servers import Postgres, Process, Redis, free_port

INPUT_NANO, OUTPUT_NANO = 3_000, 15_000
"""Nano-dollars a token of the provider's models."""
CONFIG = """
backends: {{mock: {{kind: openai, base_url: "http://127.0.0.1:{provider}/v1", api_key: key}}}}
models:
  mock-model: {{id: mock-model, backend: mock}}
  metered-model: {{id: metered-model, backend: mock}}
tiers: {{strong: mock-model}}
prices: {prices}
fingerprint_key: benchmark-of-scaling-out
routes: {{default: {{holdout: 0.0, begin_s: 15}}}}
keys:
  - {{key: key-of-red, tenant: red}}
  - {{key: key-of-blue, tenant: blue}}
  - {{key: key-of-bound, tenant: bound}}
tenants:
  bound: {{budgets: [{{usd: {budget}, window: day}}]}}
stages:
  throughput: {{models: {{metered-model: {{quota: {{tokens_per_minute: {quota}}}}}}}}}
"""
PRICES = """
models:
  - {id: mock-model, provider: mock, prices: {input: 3, output: 15}}
  - {id: metered-model, provider: mock, prices: {input: 3, output: 15}}
"""
SHARED = """
shared: {redis}
ledger: {{path: "{postgres}"}}
"""
ALONE = """
ledger: {{path: "{file}"}}
"""


class Fleet:
    """A number of gateways over one provider.

    `redis` and `postgres`: what they share; without them each is alone, with a ledger file.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        provider: Process,
        redis: Redis | None,
        postgres: Postgres | None,
        *,
        budget: float = 1_000.0,
        quota: int = 600_000,
        more: tuple[str, ...] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        prices = folder / "prices.yaml"
        prices.write_text(PRICES)
        text = CONFIG.format(provider=provider.port, prices=prices, budget=budget, quota=quota)
        if redis is not None and postgres is not None:
            text += SHARED.format(redis=redis.url, postgres=postgres.dsn)
        elif redis is not None:
            text += f"shared: {redis.url}\n" + ALONE.format(file=folder / "ledger.db")
        else:
            text += ALONE.format(file=folder / "ledger.db")
        self.gateways: list[Process] = []
        for number in range(count):
            own = folder / f"gateway{number}"
            own.mkdir(exist_ok=True)
            config = own / "hapenny.yaml"
            config.write_text(text + f'state: ""\nserver: {{port: {free_port()}, drain_s: 5}}\n')
            self.gateways.append(Process("hapenny", "serve", "-c", str(config), *more))

    @property
    def urls(self) -> list[str]:
        return [gateway.url for gateway in self.gateways]

    def close(self) -> None:
        for gateway in self.gateways:
            gateway.close()


def calls(provider: Process) -> list[list[Any]]:
    """The provider's record."""
    with urllib.request.urlopen(f"{provider.url}/calls", timeout=30) as reply:
        record: list[list[Any]] = json.load(reply)
    return record


def forget(provider: Process) -> None:
    """Begins the record anew."""
    urllib.request.urlopen(f"{provider.url}/forget", timeout=30).read()


def bill(record: list[list[Any]]) -> int:
    """Nano-dollars, by the provider's own count."""
    return sum(prompt * INPUT_NANO + output * OUTPUT_NANO for _, _, prompt, output, *_ in record)
