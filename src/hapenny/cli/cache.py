"""`hapenny cache`: what the caches hold and earn, why an answer is there, how to remove it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import click
import msgspec

from hapenny.cli import cache_tables
from hapenny.cli.printable import printable, say, say_json
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure

_PATIENCE_S = 300.0
"""How long a gateway may take for one answer."""

JSON = click.option("--json", "as_json", is_flag=True, help="As JSON; money in nano-dollars, times in seconds.")


class _Placed(click.Group):
    """A group whose `--url` and `--key` may stand before the verb or behind it."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Adds a verb, with both options."""
        for place, option in enumerate(("--url", "--key")):
            if not any(option in param.opts for param in cmd.params):
                behind = click.Option([option, f"{option[2:]}_behind"], expose_value=False, callback=_set(place))
                behind.help = "The same as before the verb."
                cmd.params.append(behind)
        super().add_command(cmd, name)


def _set(place: int) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def set_it(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        if value is not None and ctx.obj is not None:
            target = [*ctx.obj]
            target[place] = value.rstrip("/") if place == 0 else value
            ctx.obj = tuple(target)

    return set_it


@click.group(cls=_Placed)
@click.option("--url", default="http://127.0.0.1:8790", show_default=True, help="Where hapenny serves.")
@click.option("--key", envvar="HAPENNY_KEY", default="", help="A hapenny key; every tenant reaches its own entries.")
@click.pass_context
def cache(ctx: click.Context, url: str, key: str) -> None:
    """The caches of a running gateway."""
    ctx.obj = (url.rstrip("/"), key)


@cache.command()
@JSON
@click.pass_obj
def stats(target: tuple[str, str], as_json: bool) -> None:
    """Counters of every layer, what each earns on each route, and how the semantic cache keeps its promise."""
    _shown(call_gateway(target, "GET", "/v1/cache/stats"), as_json, cache_tables.stats)


@cache.command()
@click.argument("key", default="")
@JSON
@click.pass_obj
def explain(target: tuple[str, str], key: str, as_json: bool) -> None:
    """The entries behind KEY, as the header Cache-Status shows it; all of them without KEY."""
    if key.strip("0123456789abcdefABCDEF"):
        raise click.UsageError(f"{key[:64]!r} is no key: give hex digits, as the header Cache-Status shows them")
    answer = call_gateway(target, "GET", f"/v1/cache/explain/{quote(key, safe='')}")
    if not answer and not as_json:
        say(f"no entry of yours begins with {key}" if key else "nothing is stored for you")
        return
    _shown(answer, as_json, cache_tables.entries)


@cache.command()
@click.option("--entry", "entry", help="Key of one entry, or how it begins.")
@click.option("--tag", help="For example route:default, model:…, doc:…, collection:…, result:…, or one of your own.")
@click.option("--epoch", help="A knowledge epoch.")
@click.option("--older-than", "older", help="Seconds, or a span: 90m, 24h, 7d.")
@click.option("--all", "everything", is_flag=True, help="Every entry of the tenant.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@JSON
@click.pass_obj
def invalidate(
    target: tuple[str, str],
    entry: str | None,
    tag: str | None,
    epoch: str | None,
    older: str | None,
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove answers of your tenant; all conditions given must match."""
    some = any(each is not None for each in (entry, tag, epoch, older))
    if not everything and not some:
        raise click.UsageError("name what goes: --entry, --tag, --epoch, --older-than, or --all")
    if everything and some:
        raise click.UsageError("--all, or conditions: not both")
    age = _seconds(older) if older is not None else None
    body = {"key": entry, "tag": tag, "epoch": epoch, "older_than_s": age, "dry_run": dry_run}
    _shown(call_gateway(target, "POST", "/v1/cache/invalidate", body), as_json, cache_tables.removed)


@cache.command()
@click.argument("questions", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--most", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Without QUESTIONS.")
@click.option("--model", default="auto", show_default=True)
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True)
@JSON
@click.pass_obj
def warm(target: tuple[str, str], questions: Path | None, most: int, model: str, parallel: int, as_json: bool) -> None:
    """Ask every line of QUESTIONS once (plain text, or JSON lines with "text"), so that its answer is stored.

    Without QUESTIONS the gateway asks again what was asked most and is not stored any more, within the day's budget. It
    knows the requests of routes named under `precompute.routes` since it started; the ledger holds no text.
    """
    if questions is None:
        answer = call_gateway(target, "POST", "/v1/cache/warm", {"most": most})
        _shown(answer, as_json, lambda told: say(f"{told['answered']} questions were answered ahead"))
        return
    lines = questions.read_text(encoding="utf-8").splitlines()
    texts = [_text(line, number) for number, line in enumerate(lines, 1) if line.strip()]
    if not texts:
        raise click.ClickException(f"{questions}: holds no questions")
    hits, failed = asyncio.run(_warm(target, texts, model, parallel))
    told = {"questions": len(texts), "answered": len(texts) - hits - failed, "stored": hits, "failed": failed}
    said = "{questions} questions: {answered} answered, {stored} stored already, {failed} failed"
    _shown(told, as_json, lambda told: say(said.format(**told)))
    if failed:
        sys.exit(1)


@cache.command()
@click.argument("layer", type=click.Choice(["semantic", "precompute"]))
@click.option("--route", default="", help="Only there; else wherever it is stopped.")
@JSON
@click.pass_obj
def resume(target: tuple[str, str], layer: str, route: str, as_json: bool) -> None:
    """Let a layer that was stopped for losing money try again at once, with empty books."""
    answer = call_gateway(target, "POST", "/v1/cache/resume", {"layer": layer, "route": route})
    _shown(answer, as_json, lambda told: say(f"{layer} tries again on {told['resumed']} routes"))


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
    from hapenny.vectors.chosen_embedder import ChosenEmbedder

    rows = [msgspec.json.decode(line) for line in labelled.read_bytes().splitlines() if line.strip()]
    if len(rows) < 100:
        raise click.ClickException(f"{labelled}: {len(rows)} questions are too few; at least 100")
    chosen = ChosenEmbedder(embedder, RealClock())
    vectors = asyncio.run(chosen.embed([row["text"] for row in rows]))
    threshold = find(vectors, [str(row["label"]) for row in rows], max_error)
    if threshold is None:
        raise click.ClickException(f"no threshold keeps wrong answers at or below {max_error:g}")
    _shown({"embedder": chosen.name, **msgspec.to_builtins(threshold)}, True, click.echo)


def _text(line: str, number: int) -> str:
    if not line.lstrip().startswith("{"):
        return line.strip()
    try:
        text = msgspec.json.decode(line)["text"]
    except (msgspec.DecodeError, KeyError):
        text = None
    if not isinstance(text, str) or not text.strip():
        raise click.ClickException(f'line {number}: is no JSON object with "text"')
    return text


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    from hapenny.cli.report import span

    try:
        return span(text)
    except click.BadParameter:
        problem = f"{text!r} is no span of time; write 90, 90m, 24h"
        raise click.BadParameter(problem, param_hint="--older-than") from None


async def _warm(target: tuple[str, str], texts: list[str], model: str, parallel: int) -> tuple[int, int]:
    """Asks all texts; returns how many were hits, and how many failed."""
    url, key = target
    gate = asyncio.Semaphore(parallel)
    hits = failed = 0
    async with _client() as send:

        async def ask(text: str) -> None:
            nonlocal hits, failed
            body = {"model": model, "temperature": 0, "messages": [{"role": "user", "content": text}]}
            async with gate:
                try:
                    status, headers, _ = await send("POST", f"{url}/v1/chat/completions", key, body)
                    failed += status != 200
                    hits += "; hit" in headers.get("cache-status", "")
                except (Failure, OSError):
                    failed += 1

        await asyncio.gather(*(ask(text) for text in texts))
    return hits, failed


Send: TypeAlias = Callable[[str, str, str, Any], Awaitable[tuple[int, Mapping[str, str], bytes]]]
"""Asks a running gateway: method, URL, key, body; gives status, headers, body."""


@contextlib.asynccontextmanager
async def _client() -> AsyncIterator[Send]:
    from hapenny.backends.pool import Pool
    from hapenny.backends.url import address

    pool = Pool(RealClock(), idle_s=_PATIENCE_S, name="cli")

    async def send(method: str, url: str, key: str, body: Any) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        async with asyncio.timeout(_PATIENCE_S):
            data = b"" if body is None else msgspec.json.encode(body)
            lease = await pool.send(method, address(url), headers, data)
            return lease.status, lease.headers, await lease.whole()

    try:
        yield send
    finally:
        await pool.aclose()


def call_gateway(target: tuple[str, str], method: str, path: str, body: Any = None) -> Any:
    """The JSON answer of the running gateway; a plain error message otherwise."""
    url, key = target

    async def call() -> tuple[int, bytes]:
        async with _client() as send:
            status, _, raw = await send(method, url + path, key, body)
            return status, raw

    try:
        status, raw = asyncio.run(call())
    except Failure as failure:
        raise click.ClickException(f"no gateway answers at {url}: {failure.message}") from None
    except (OSError, ValueError) as error:
        raise click.ClickException(f"no gateway answers at {url}: {error}") from None
    if status != 200:
        raise click.ClickException(f"{url}{path}: status {status}: {printable(_reason(raw))}")
    return msgspec.json.decode(raw)


def _reason(raw: bytes) -> str:
    """What an error says, without the JSON around it."""
    try:
        return str(msgspec.json.decode(raw)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return raw.decode("utf-8", "replace")[:300]


def _shown(value: Any, as_json: bool, tell: Callable[[Any], object]) -> None:
    if as_json:
        say_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
    else:
        tell(value)
