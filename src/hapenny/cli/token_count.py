"""`hapenny tokens count`: how many tokens two variants of a prompt have, by the provider's own free count."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from hapenny.cli.printable import say, say_json
from hapenny.cli.request_file import read
from hapenny.console.html.charts import money
from hapenny.core.errors import Failure
from hapenny.core.messages import Message, Parameters, Request, Text
from hapenny.protocols.registry import CODECS


class Counted(Struct, kw_only=True):
    """Tokens of a prompt, whether the provider counted them, and what they cost as input, nano-dollars."""

    name: str
    tokens: int
    counted: bool
    cost: int | None


@click.command("count")
@click.argument("variants", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-c", "--config", help="Configuration whose provider counts; without one, estimates.")
@click.option("--model", help="Count for this model instead of the requests' own.")
@click.option("--protocol", type=click.Choice(sorted(CODECS)), help="The requests' dialect; guessed if not given.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; money in nano-dollars.")
def count(
    variants: tuple[Path, ...], config: str | None, model: str | None, protocol: str | None, as_json: bool
) -> None:
    """Count the tokens of VARIANTS (requests as JSON, or prompts as text) and compare them with the first.

    Bedrock's and Anthropic's CountTokens are free and count what would be billed. Where the provider counts nothing,
    the numbers are estimates and say so.
    """
    from hapenny.config import ConfigError

    asked = [(path.name, _request(path, protocol, model)) for path in variants]
    try:
        counts = asyncio.run(_counted(asked, config))
    except ConfigError as error:
        raise click.ClickException("\n".join(error.problems)) from None
    except Failure as failure:
        raise click.ClickException(failure.sentence()) from None
    if as_json:
        say_json(msgspec.json.encode({"variants": counts}).decode())
        return
    first = counts[0]
    wide = max(len(each.name) for each in counts)
    for each in counts:
        line = f"{each.name.ljust(wide)}  {each.tokens:>9,} tokens"
        if each is not first:
            change = each.tokens - first.tokens
            line += f"  {change:+,} ({change / first.tokens:+.1%})" if first.tokens else f"  {change:+,}"
            if each.cost is not None and first.cost is not None:
                line += f"  {money(1_000 * (each.cost - first.cost), sign=True)} a thousand requests"
        say(line if each.counted else f"{line}  estimated")


def _request(path: Path, protocol: str | None, model: str | None) -> Request:
    body = path.read_bytes()
    if body.lstrip()[:1] == b"{":
        asked = read(body, protocol, model)
        return msgspec.structs.replace(asked, model=model) if model else asked
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise click.ClickException(f"{path}: is neither JSON nor text in UTF-8") from None
    if not text.strip():
        raise click.ClickException(f"{path}: is empty")
    return Request(
        protocol="openai", model=model or "auto", messages=(Message("user", (Text(text),)),),
        parameters=Parameters(max_tokens=1),
    )  # fmt: skip


async def _counted(asked: list[tuple[str, Request]], config: str | None) -> list[Counted]:
    from hapenny.config import load
    from hapenny.core.events import Tokens
    from hapenny.core.messages import Context
    from hapenny.gateway.gateway import Gateway

    loaded = load(config)
    loaded.ledger = None
    counts = []
    async with Gateway(loaded) as gateway:
        for name, request in asked:
            exchange = gateway.open(request, Context(), background="count")
            target = exchange.target
            try:
                tokens = await gateway.backends[target.backend].count(request, target)
            except Failure:
                tokens = None
            counted = tokens is not None
            if tokens is None:
                tokens = gateway.books.prices.prompt(request, target)
            cost = gateway.books.prices.price(target, Tokens(input=tokens), gateway.clock.wall())
            counts.append(Counted(name=name, tokens=tokens, counted=counted, cost=cost))
    return counts
