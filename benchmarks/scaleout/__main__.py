"""`python -m benchmarks.scaleout --json`: real servers, killed and stopped, under load. About eight minutes."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.arguments import parse
from benchmarks.scaleout import faults, one_host, spread_batch, together
from benchmarks.scaleout.servers import Postgres, Redis, log

PARTS = ("together", "faults", "redis", "workers", "batch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of load on four gateways")
    parser.add_argument("--only", choices=PARTS, action="append", help="these parts alone")
    parser.add_argument("--stores", action="store_true", help="the batch over every store of leases, not Redis alone")
    arguments = parse(parser)
    wanted = set(arguments.only or PARTS)
    seconds = 10.0 if arguments.quick else arguments.seconds
    began = time.monotonic()
    out: dict[str, Any] = {
        "overspend": None, "double_calls": None, "hit_rate_delta": None, "faults": {}, "redis_ms_p50": None,
        "cpu_ratio_2": None, "speedup_2": None, "batch": {"lost": None, "paid_twice": None},
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="scaleout-") as name:
        folder = Path(name)
        redis, postgres = Redis(), Postgres()
        try:
            if "together" in wanted:
                out |= together.measure(folder, redis, postgres, seconds)
            if "faults" in wanted:
                out["faults"] = faults.measure(folder, redis, postgres)
            if "redis" in wanted:
                redis.flush()
                out |= one_host.redis_ms(folder, redis)
            if "workers" in wanted:
                out |= one_host.workers(folder)
            if "batch" in wanted:
                redis.flush()
                out |= spread_batch.measure(folder, redis, postgres, all_stores=arguments.stores)
        finally:
            redis.close()
            postgres.close()
    out["seconds"] = round(time.monotonic() - began, 1)
    log(f"done in {out['seconds']} s")
    print(json.dumps(out))


if __name__ == "__main__":
    main()
