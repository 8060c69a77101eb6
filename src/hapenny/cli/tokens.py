"""`hapenny tokens`: what the token stages would leave out of a request, why, and what that is worth."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from hapenny.catalog import Catalog, default, overrides
from hapenny.cli.printable import printable_all, say, say_json
from hapenny.cli.request_file import read
from hapenny.cli.token_count import count
from hapenny.config import load
from hapenny.core.clock import RealClock
from hapenny.core.exchange import Target
from hapenny.counting import Estimators
from hapenny.pages.charts import money
from hapenny.protocols.registry import CODECS
from hapenny.telemetry.pricing import Prices
from hapenny.tokens.explain import Explanation, Line, explain
from hapenny.tokens.options import (
    ANSWER_SIZE_STAGE,
    PRUNE_STAGE,
    STRUCTURE_STAGE,
    TEMPLATES_STAGE,
    WINDOW_STAGE,
    TokenOptions,
)
from hapenny.tokens.templates import Templates, drafts, suggest

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from hapenny.telemetry.content import Content
    from hapenny.telemetry.recorder import KeptTexts

_STYLES = {"kept": "default", "removed": "red strike", "rewritten": "yellow", "answered": "green"}


@click.group()
def tokens() -> None:
    """See what the token stages do."""


tokens.add_command(count)


@tokens.command("explain")
@click.argument("request_file", metavar="REQUEST.json", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--protocol", type=click.Choice(sorted(CODECS)), help="The request's dialect; guessed if not given.")
@click.option("--model", help="Count and price for this model instead of the request's.")
@click.option("--share", type=click.FloatRange(0.01, 1.0), help="Share of the context that may stay.")
@click.option("-c", "--config", help="Configuration whose stage options, templates and prices hold.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; money in nano-dollars.")
def explain_request(
    request_file: Path, protocol: str | None, model: str | None, share: float | None, config: str | None, as_json: bool
) -> None:
    """Show what would be removed from REQUEST.json and why, coloured, with money. Nothing is sent."""
    request = read(request_file.read_bytes(), protocol, model)
    options, templates, catalog = _settings(config)
    if share is not None:
        options.prune = msgspec.structs.replace(options.prune, share=share)
    prices = Prices(catalog, Estimators.best())
    found = explain(request, Target(model or request.model), prices, RealClock(), options, templates)
    if as_json:
        say_json(msgspec.json.encode(found).decode())
        return
    from rich.console import Console

    found = msgspec.convert(printable_all(msgspec.to_builtins(found)), Explanation)
    console = Console()
    for technique in dict.fromkeys(line.technique for line in found.lines):
        console.print(_heading(found, technique))
        console.print(_shown([line for line in found.lines if line.technique == technique]))
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
        say_json(msgspec.json.encode(found).decode())
        return
    import yaml

    say(f"# {len(turns)} kept turns, {len(found)} candidates; all are off: read each, then remove `enabled`.")
    for each in found:
        asked = " ".join(each.user.split())  # a line of its own would be no comment any more
        say(f"# {each.turns} turns, {each.users} users, {100 * each.agreement:.0f} % alike: {asked}")
    fields = msgspec.to_builtins(drafts(found))
    for template in fields["templates"]:
        for name in [
            name for name, value in template.items() if value in (None, False, "", [], {}) and name != "enabled"
        ]:
            del template[name]
    say(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True).rstrip())


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


def _settings(config: str | None) -> tuple[TokenOptions, Templates, Catalog]:
    if config is None:
        return TokenOptions(), Templates.shipped(), default()
    found = load(config)
    stages = found.stages
    wanted = stages[TEMPLATES_STAGE]
    files = [Path(each) for each in wanted.files]
    templates = Templates.of_files([*(Templates.shipped_files() if wanted.shipped else []), *files])
    options = TokenOptions(
        structure=stages[STRUCTURE_STAGE],
        prune=stages[PRUNE_STAGE],
        window=stages[WINDOW_STAGE],
        answer_size=stages[ANSWER_SIZE_STAGE],
        templates=wanted,
    )
    return options, templates, overrides.load(found.prices, default()) if found.prices else default()


def _heading(found: Explanation, technique: str) -> Text:
    from rich.text import Text

    saved = found.saved_by(technique)
    text = Text(f"\n{technique}", style="bold")
    if saved and found.cost_before is not None and found.cost_after is not None and found.before > found.after:
        nano = round((found.cost_before - found.cost_after) * saved / (found.before - found.after))
        text.append(f"  {saved:,} tokens, {money(nano)} a request", style="green")
    elif saved:
        text.append(f"  {saved:,} tokens", style="green")
    return text


def _shown(lines: list[Line]) -> Table:
    """Verdict, tokens, the piece (and what stands for it), why; equal reasons in a row are said once."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=3, overflow="fold")
    table.add_column(ratio=1, min_width=18, style="dim italic")
    reason = question = ""
    for line in lines:
        if line.question != question:
            question = line.question
            table.add_row("", "", Text(f"“{question}”", style="bold italic"), "")
        text = Text(line.text.strip(), style=_STYLES[line.verdict])
        if line.instead:
            text.append("\n→ ", style="dim")
            text.append(line.instead, style="green")
        told = "″" if line.reason == reason else line.reason
        tokens = f"{line.tokens:,}" if not line.instead else f"{line.tokens:,}→{line.tokens - line.saved:,}"
        table.add_row(Text(line.verdict, style=_STYLES[line.verdict].split()[0]), tokens, text, told)
        reason = line.reason
    return table


def _sum(found: Explanation) -> str:
    share = 100 * (1 - found.after / found.before) if found.before else 0.0
    line = f"{found.before} -> {found.after} tokens of input for {found.model} ({share:.1f} % less)"
    if found.cost_before is None or found.cost_after is None:
        return f"{line}; the model's price is not known"
    return f"{line}; {money(found.cost_before)} -> {money(found.cost_after)} a request"
