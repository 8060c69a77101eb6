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
from hapenny.console.html.charts import money
from hapenny.core.clock import RealClock
from hapenny.core.exchange import Target
from hapenny.counting import Estimators
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
    explanation = explain(request, Target(model or request.model), prices, RealClock(), options, templates)
    if as_json:
        say_json(msgspec.json.encode(explanation).decode())
        return
    from rich.console import Console

    explanation = msgspec.convert(printable_all(msgspec.to_builtins(explanation)), Explanation)
    console = Console()
    for technique in dict.fromkeys(line.technique for line in explanation.lines):
        console.print(_heading(explanation, technique))
        console.print(_shown([line for line in explanation.lines if line.technique == technique]))
    console.print(_sum(explanation))


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
    suggestions = suggest(turns, least_turns=least_turns, least_users=least_users, agreement=agreement)
    if as_json:
        say_json(msgspec.json.encode(suggestions).decode())
        return
    import yaml

    say(f"# {len(turns)} kept turns, {len(suggestions)} candidates; all are off: read each, then remove `enabled`.")
    for each in suggestions:
        asked = " ".join(each.user.split())  # a line of its own would be no comment any more
        say(f"# {each.turns} turns, {each.users} users, {100 * each.agreement:.0f} % alike: {asked}")
    fields = msgspec.to_builtins(drafts(suggestions))
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
        texts = await store.find(route=route, since=clock.wall() - days * 86_400, limit=limit)
    except (ImportError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    finally:
        await rows.aclose()
    return [turn for each in texts if not each.cut and (turn := _turn(each)) is not None]


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
    loaded = load(config)
    stages = loaded.stages
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
    return options, templates, overrides.load(loaded.prices, default()) if loaded.prices else default()


def _heading(explanation: Explanation, technique: str) -> Text:
    from rich.text import Text

    saved = explanation.saved_by(technique)
    text = Text(f"\n{technique}", style="bold")
    if (
        saved
        and explanation.cost_before is not None
        and explanation.cost_after is not None
        and explanation.before > explanation.after
    ):
        nano = round(
            (explanation.cost_before - explanation.cost_after) * saved / (explanation.before - explanation.after)
        )
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


def _sum(explanation: Explanation) -> str:
    share = 100 * (1 - explanation.after / explanation.before) if explanation.before else 0.0
    line = f"{explanation.before} -> {explanation.after} tokens of input for {explanation.model} ({share:.1f} % less)"
    if explanation.cost_before is None or explanation.cost_after is None:
        return f"{line}; the model's price is not known"
    return f"{line}; {money(explanation.cost_before)} -> {money(explanation.cost_after)} a request"
