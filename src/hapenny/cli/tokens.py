"""`hapenny tokens`: what the token stages would leave out of a request, why, and what that is worth."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from hapenny.catalog import default
from hapenny.config import load
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.core.exchange import Target
from hapenny.core.messages import Request
from hapenny.counting import Estimators
from hapenny.protocols.registry import CODECS
from hapenny.telemetry.plots import money
from hapenny.telemetry.pricing import Prices
from hapenny.tokens.explain import Explanation, Line, explain
from hapenny.tokens.options import PruneOptions, TokenOptions
from hapenny.tokens.templates import drafts, suggest

if TYPE_CHECKING:
    from rich.text import Text

    from hapenny.telemetry.content import Content
    from hapenny.telemetry.desk import KeptTexts

_STYLES = {"kept": "default", "removed": "red strike", "rewritten": "yellow", "answered": "green"}


@click.group()
def tokens() -> None:
    """See what the token stages do."""


@tokens.command("explain")
@click.argument("request_file", metavar="REQUEST.json", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--protocol", type=click.Choice(sorted(CODECS)), help="The request's dialect; guessed if not given.")
@click.option("--model", help="Count and price for this model instead of the request's.")
@click.option("--share", type=click.FloatRange(0.01, 1.0), help="Share of the context that may stay.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; money in nano-dollars.")
def explain_request(
    request_file: Path, protocol: str | None, model: str | None, share: float | None, as_json: bool
) -> None:
    """Show what would be removed from REQUEST.json and why, coloured, with money. Nothing is sent."""
    request = _read(request_file.read_bytes(), protocol, model)
    options = TokenOptions(prune=PruneOptions(share=share)) if share is not None else TokenOptions()
    prices = Prices(default(), Estimators.best())
    found = explain(request, Target(model or request.model), prices, RealClock(), options)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    from rich.console import Console

    console = Console()
    for line in found.lines:
        console.print(_shown(line))
    console.print()
    for technique in dict.fromkeys(line.technique for line in found.lines):
        if found.saved_by(technique):
            console.print(f"{technique:>12}: {found.saved_by(technique)} tokens")
    console.print(_sum(found))


@tokens.command("suggest")
@click.option("-c", "--config", required=True, help="Configuration whose content store is read.")
@click.option("--route", help="Only this route's texts.")
@click.option("--days", type=click.FloatRange(min=0), default=30.0, show_default=True, help="How far back.")
@click.option("--limit", type=click.IntRange(1), default=20_000, show_default=True, help="Requests read at most.")
@click.option("--least-turns", type=click.IntRange(2), default=20, show_default=True)
@click.option("--least-users", type=click.IntRange(1), default=5, show_default=True)
@click.option("--agreement", type=click.FloatRange(0.5, 1.0), default=0.95, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of YAML.")
def suggest_templates(
    config: str,
    route: str | None,
    days: float,
    limit: int,
    least_turns: int,
    least_users: int,
    agreement: float,
    as_json: bool,
) -> None:
    """Turns that come often, from many users, and are always answered alike, as templates to read and enable."""
    kept = load(config).content
    if kept is None or not Path(kept.path).exists():
        where = kept.path if kept is not None else f"{config}: no section `content`"
        raise click.ClickException(f"{where}: no texts are kept. Fix: let a route opt in under `content`")
    turns = asyncio.run(_kept_turns(kept, route, days, limit))
    found = suggest(turns, least_turns=least_turns, least_users=least_users, agreement=agreement)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    import yaml

    click.echo(f"# {len(turns)} kept turns, {len(found)} candidates; all are off: read each, then remove `enabled`.")
    for each in found:
        click.echo(f"# {each.turns} turns, {each.users} users, {100 * each.agreement:.0f} % alike: {each.user}")
    fields = msgspec.to_builtins(drafts(found))
    for template in fields["templates"]:
        for name in [
            name for name, value in template.items() if value in (None, False, "", [], {}) and name != "enabled"
        ]:
            del template[name]
    click.echo(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True).rstrip())


async def _kept_turns(kept: KeptTexts, route: str | None, days: float, limit: int) -> list[tuple[str, str, str, str]]:
    from hapenny.stores.sqlite import SqliteFile, SqliteRows
    from hapenny.telemetry.content import ContentStore

    clock = RealClock()
    rows = SqliteRows(SqliteFile(kept.path, clock))
    try:
        store = ContentStore(kept.options, rows, clock)
        found = await store.find(route=route, since=clock.wall() - days * 86_400, limit=limit)
    except (ImportError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    finally:
        await rows.aclose()
    return [turn for each in found if not each.cut and (turn := _turn(each)) is not None]


def _turn(content: Content) -> tuple[str, str, str, str] | None:
    """(user, last assistant text, user text, answer); None if the last word was not a user's."""
    said = [(role, text) for role, text in content.messages if role in ("user", "assistant")]
    if not said or content.messages[-1][0] != "user" or not content.answer.strip():
        return None
    before = next((text for role, text in reversed(said) if role == "assistant"), "")
    return content.user, before, said[-1][1], content.answer


def guess(body: bytes) -> str:
    """The dialect of a request body, by the fields only it has."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise click.ClickException(f"not a JSON object: {error}") from None
    if "inferenceConfig" in fields or "modelId" in fields or "toolConfig" in fields:
        return "bedrock"
    messages = fields.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else {}
    content = first.get("content") if isinstance(first, dict) else None
    if isinstance(content, list) and content and isinstance(content[0], dict) and "type" not in content[0]:
        return "bedrock"
    if "anthropic_version" in fields:
        return "invoke"
    return "anthropic" if "system" in fields or b'"tool_use"' in body or b'"input_schema"' in body else "openai"


def _read(body: bytes, protocol: str | None, model: str | None) -> Request:
    dialect = protocol or guess(body)
    named = (model or "unknown") if dialect in ("bedrock", "invoke") else None
    try:
        return CODECS[dialect].decode_request(body, model=named, stream=None, headers={})
    except Failure as failure:
        fix = f" Fix: {failure.fix}" if failure.fix else ""
        raise click.ClickException(f"not a {dialect} request: {failure.message}{fix}") from None


def _shown(line: Line) -> Text:
    from rich.text import Text

    text = Text(f"{line.technique:>10} {line.verdict:<9} {line.tokens:>6} ", style="dim")
    text.append(line.text.strip(), style=_STYLES[line.verdict])
    if line.instead:
        text.append("\n" + " " * 28 + "→ ", style="dim")
        text.append(line.instead, style="green")
    text.append(f"  ({line.reason})", style="dim italic")
    return text


def _sum(found: Explanation) -> str:
    share = 100 * (1 - found.after / found.before) if found.before else 0.0
    line = f"{found.before} -> {found.after} tokens of input for {found.model} ({share:.1f} % less)"
    if found.cost_before is None or found.cost_after is None:
        return f"{line}; the model's price is not known"
    return f"{line}; {money(found.cost_before)} -> {money(found.cost_after)} a request"
