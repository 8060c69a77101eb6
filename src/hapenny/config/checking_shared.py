"""What is wrong with what several gateways, or several workers of one, share."""

from __future__ import annotations

import importlib.util
import re

from hapenny.caching.options import SEMANTIC_STAGE
from hapenny.config.options import Config


def shared_problems(config: Config) -> list[str]:
    """Contradictions, each with its fix."""
    problems: list[str] = []
    where = config.shared
    shown = hidden(where)
    if where and not where.startswith("host:"):
        if not re.match(r"(rediss?|valkey)://[^/]", where):
            problems.append(f"$.shared: {shown!r} is no shared store. Fix: redis://HOST:PORT/DATABASE, or leave it out")
        elif importlib.util.find_spec("redis") is None:
            problems.append(f"$.shared: {shown!r} needs the redis client. Fix: pip install 'hapenny[redis]'")
        if not config.fingerprint_key:
            problems.append(
                "$.fingerprint_key: empty: gateways that share answers would not find one another's. "
                "Fix: one secret of at least 16 characters for all of them, from the environment"
            )
    index = config.stages[SEMANTIC_STAGE].opensearch
    if index and not re.match(r"https?://[^/]+/[^/]+$", index):
        problems.append(
            f"$.stages.semantic.opensearch: {hidden(index)!r} is no index. Fix: https://USER:PASSWORD@HOST:9200/INDEX"
        )
    elif index and not where:
        problems.append(
            "$.stages.semantic.opensearch: only gateways that share learn together. Fix: shared: redis://HOST:6379/0"
        )
    ledger = config.ledger.path if config.ledger is not None else ""
    if "://" in ledger:
        if not re.match(r"postgres(ql)?://", ledger):
            problems.append(
                f"$.ledger.path: {hidden(ledger)!r} is no ledger. "
                "Fix: the path of a SQLite file, or postgresql://HOST/DATABASE"
            )
        elif importlib.util.find_spec("psycopg") is None:
            problems.append(f"$.ledger.path: {hidden(ledger)!r} needs psycopg. Fix: pip install 'hapenny[postgres]'")
    return problems


def worker_problems(config: Config) -> list[str]:
    """What forbids several workers: what one process keeps for itself, and others would miss."""
    problems: list[str] = []
    if config.batch is not None:
        problems.append(
            "$.batch: a batch journal has one owner, and requests for jobs may reach any worker. "
            "Fix: one worker here, or a gateway of its own for batch jobs"
        )
    published = sorted(name for name, route in config.routes.items() if route.cache_scope == "shared")
    if published:
        problems.append(
            f"$.routes.{published[0]}.cache_scope: published answers lie in one process, and any worker may be "
            "asked for them. Fix: one worker for this configuration, or `cache_scope: tenant`"
        )
    if config.server.apigateway is not None:
        problems.append(
            "$.server.apigateway: conversations of API Gateway lie in one process. "
            "Fix: one worker for this configuration"
        )
    if not config.budget_store() and any(holder.budgets for holder in (*config.keys, *config.tenants.values())):
        problems.append(
            "$.tenants: budgets would be counted by each worker for itself. Fix: a ledger file, or admission.store"
        )
    if config.admission_store() == "memory:" and any("admin" in key.scopes for key in config.keys):
        problems.append(
            "$.admission.store: keys made over the API would be known to one worker alone. "
            "Fix: a ledger file, or a store"
        )
    return problems


def hidden(url: str) -> str:
    """A URL without its password."""
    return re.sub(r"//[^@/]*@", "//***@", url)
