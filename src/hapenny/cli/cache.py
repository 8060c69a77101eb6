"""`hapenny cache`: what the caches hold and earn, why an answer is there, how to remove it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click
import msgspec


@click.group()
@click.option("--url", default="http://127.0.0.1:8790", show_default=True, help="Where hapenny serves.")
@click.option("--key", envvar="HAPENNY_KEY", default="", help="A hapenny key; every tenant reaches its own entries.")
@click.pass_context
def cache(ctx: click.Context, url: str, key: str) -> None:
    """The caches of a running gateway."""
    ctx.obj = (url.rstrip("/"), key)


@cache.command()
@click.pass_obj
def stats(target: tuple[str, str]) -> None:
    """Counters of every layer, and where each route's semantic cache stands."""
    _show(_call(target, "GET", "/v1/cache/stats"))


@cache.command()
@click.argument("key", default="")
@click.pass_obj
def explain(target: tuple[str, str], key: str) -> None:
    """The entries behind KEY, as the header Cache-Status shows it; all of them without KEY."""
    _show(_call(target, "GET", f"/v1/cache/explain/{key}"))


@cache.command()
@click.option("--entry", "entry", help="Key of one entry.")
@click.option("--tag", help="For example route:default, model:…, doc:….")
@click.option("--epoch", help="A knowledge epoch.")
@click.option("--older-than", "older", type=float, help="Seconds.")
@click.option("--all", "everything", is_flag=True, help="Every entry of the tenant.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.pass_obj
def invalidate(
    target: tuple[str, str],
    entry: str | None,
    tag: str | None,
    epoch: str | None,
    older: float | None,
    everything: bool,
    dry_run: bool,
) -> None:
    """Remove answers; all conditions given must match."""
    if not everything and entry is None and tag is None and epoch is None and older is None:
        raise click.UsageError("name what goes: --entry, --tag, --epoch, --older-than, or --all")
    body = {"key": entry, "tag": tag, "epoch": epoch, "older_than_s": older, "dry_run": dry_run}
    _show(_call(target, "POST", "/v1/cache/invalidate", body))


@cache.command()
@click.argument("questions", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--most", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Without QUESTIONS.")
@click.option("--model", default="auto", show_default=True)
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True)
@click.pass_obj
def warm(target: tuple[str, str], questions: Path | None, most: int, model: str, parallel: int) -> None:
    """Ask every line of QUESTIONS once (plain text, or JSON lines with "text"), so that its answer is stored.

    Without QUESTIONS the gateway asks again what was asked most and is not stored any more: after a deploy or a new
    epoch. It knows the requests of routes named under `precompute.routes` since it started; the ledger holds no text.
    """
    if questions is None:
        _show(_call(target, "POST", "/v1/cache/warm", {"most": most}))
        return
    texts = [_text(line) for line in questions.read_text(encoding="utf-8").splitlines() if line.strip()]
    hits, failed = asyncio.run(_warm(target, texts, model, parallel))
    click.echo(f"{len(texts)} questions: {len(texts) - hits - failed} answered, {hits} stored already, {failed} failed")
    if failed:
        sys.exit(1)


@cache.command()
@click.argument("labelled", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--max-error", type=click.FloatRange(0, 1, min_open=True), default=0.01, show_default=True)
@click.option("--embedder", type=click.Choice(["local", "hashed"]), default="local", show_default=True)
def calibrate(labelled: Path, max_error: float, embedder: str) -> None:
    """Find a fixed similarity threshold from LABELLED: JSON lines with "text" and "label" (what is the right answer).

    Hits by a fixed threshold are marked unproven; the promise (`max_error` of the route) needs no calibration.
    """
    from hapenny.caching.semantic.calibrate import calibrate as find
    from hapenny.core.clock import RealClock
    from hapenny.vectors.choose import ChosenEmbedder

    rows = [msgspec.json.decode(line) for line in labelled.read_bytes().splitlines() if line.strip()]
    if len(rows) < 100:
        raise click.ClickException(f"{labelled}: {len(rows)} questions are too few; at least 100")
    chosen = ChosenEmbedder(embedder, RealClock())
    vectors = asyncio.run(chosen.embed([row["text"] for row in rows]))
    found = find(vectors, [str(row["label"]) for row in rows], max_error)
    if found is None:
        raise click.ClickException(f"no threshold keeps wrong answers at or below {max_error:g}")
    _show({"embedder": chosen.name, **msgspec.to_builtins(found)})


def _text(line: str) -> str:
    if not line.lstrip().startswith("{"):
        return line.strip()
    text: str = msgspec.json.decode(line)["text"]
    return text


async def _warm(target: tuple[str, str], texts: list[str], model: str, parallel: int) -> tuple[int, int]:
    """Asks all texts; returns how many were hits, and how many failed."""
    from aiohttp import ClientError, ClientSession

    url, key = target
    gate = asyncio.Semaphore(parallel)
    hits = failed = 0

    async def ask(session: ClientSession, text: str) -> None:
        nonlocal hits, failed
        body = {"model": model, "temperature": 0, "messages": [{"role": "user", "content": text}]}
        async with gate:
            try:
                async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                    await response.read()
                    failed += response.status != 200
                    hits += "; hit" in response.headers.get("cache-status", "")
            except (ClientError, OSError):
                failed += 1

    async with ClientSession(headers=_headers(key)) as session:
        await asyncio.gather(*(ask(session, text) for text in texts))
    return hits, failed


def _call(target: tuple[str, str], method: str, path: str, body: Any = None) -> Any:
    """The JSON answer of the running gateway; a plain error message otherwise."""
    from aiohttp import ClientError, ClientSession

    url, key = target

    async def call() -> tuple[int, bytes]:
        async with (
            ClientSession(headers=_headers(key)) as session,
            session.request(method, url + path, json=body) as response,
        ):
            return response.status, await response.read()

    try:
        status, raw = asyncio.run(call())
    except (ClientError, OSError) as error:
        raise click.ClickException(f"no gateway answers at {url}: {error}") from None
    if status != 200:
        raise click.ClickException(f"{url}{path}: status {status}: {raw.decode('utf-8', 'replace')[:300]}")
    return msgspec.json.decode(raw)


def _headers(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def _show(value: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
