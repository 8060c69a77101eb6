"""Where shards of batch records are leased, by URL."""

from __future__ import annotations

from hapenny.batch.shards import LEASE_S, Shards
from hapenny.core.clock import Clock
from hapenny.stores.open_kv import open_kv


def open_shards(url: str, clock: Clock, lease_s: float = LEASE_S) -> Shards:
    """Shards over `sqs://QUEUE.fifo/BUCKET/PREFIX`, or any key-value store that `open_kv` knows.

    Args:
        url: where.
        clock: the deployment's.
        lease_s: how long leases taken here last without being renewed.

    Raises:
        ValueError: no store has such a URL.
        OSError: a file cannot be opened.
    """
    if url.startswith("sqs:"):
        from hapenny.batch.shards_sqs import SqsShards

        return SqsShards(url, clock, lease_s=lease_s)
    return Shards(open_kv(url, clock), clock, lease_s=lease_s)
