"""`hapenny cache lint`: what a managed prompt costs, what breaks its prefix, and where a cache point would pay."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec

from hapenny.catalog import Card, resolve
from hapenny.cli.cache import JSON, cache
from hapenny.cli.printable import say, say_json
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.protocols.bedrock.managed_prompt import Part, Variant, bodies, variants

_PATIENCE_S = 30.0


@cache.command()
@click.option("--prompt", "arn", help="ARN or id of a prompt in Bedrock's Prompt Management.")
@click.option("--version", "version", default="", help="Of the prompt; without it, the draft.")
@click.option("--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its JSON instead.")
@click.option("--region", default="us-east-1", show_default=True, help="Where an id names none.")
@click.option("--profile", help="Profile of the AWS credentials file.")
@click.option("--endpoint-url", envvar="AWS_ENDPOINT_URL_BEDROCK_AGENT", help="Instead of the region's address.")
@click.option("--write", "target", type=click.Path(dir_okay=False, path_type=Path), help="Bodies of the change.")
@JSON
def lint(
    arn: str | None, version: str, file: Path | None, region: str, profile: str | None, endpoint_url: str | None,
    target: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Count, price and look through a managed prompt; propose cache points.

    --write FILE writes the bodies of UpdatePrompt and CreatePromptVersion that put the proposal in force.
    """
    if (arn is None) == (file is None):
        raise click.UsageError("name the prompt: --prompt ARN, or --file with what GetPrompt answers")
    try:
        if file is not None:
            prompt = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        else:
            prompt = asyncio.run(_get(str(arn), version, region, profile, endpoint_url))
        looked = [_looked(variant) for variant in variants(prompt)]
    except Failure as failure:
        raise click.ClickException(failure.sentence()) from None
    except msgspec.MsgspecError as error:
        raise click.ClickException(f"{file}: {error}") from None
    if target is not None:
        changed = [variant for _, variant in looked]
        target.write_bytes(msgspec.json.format(msgspec.json.encode(bodies(prompt, changed)), indent=2) + b"\n")
    told = [each for each, _ in looked]
    if as_json:
        say_json(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
        return
    for each in told:
        _show(each)
    if target is not None:
        say(f"{target}: the bodies of UpdatePrompt and CreatePromptVersion")


async def _get(arn: str, version: str, region: str, profile: str | None, endpoint: str | None) -> dict[str, Any]:
    """GetPrompt of bedrock-agent."""
    from hapenny.backends.bedrock_planes import AGENT
    from hapenny.backends.credential_chain import chain
    from hapenny.backends.pool import Pool
    from hapenny.backends.signing import Signer
    from hapenny.backends.url import origin
    from hapenny.protocols.bedrock import errors

    named = arn.split(":")
    region = named[3] if arn.startswith("arn:") and len(named) > 5 else region
    clock = RealClock()
    pool, signer = Pool.control(clock), Signer(clock, chain(clock, profile=profile, region=region), None)
    path = f"/prompts/{quote(arn, safe='')}/" + (f"?promptVersion={quote(version, safe='')}" if version else "")
    try:
        url = origin(endpoint or AGENT.url(region)).at(path)
        headers = await signer.signed("GET", url, {"accept": "application/json"}, b"", region, AGENT.service)
        async with asyncio.timeout(_PATIENCE_S):
            lease = await pool.send("GET", url, headers, b"")
            answer = await lease.whole(8 << 20)
        if lease.status >= 400:
            raise errors.decode(lease.status, lease.headers, answer)
        return msgspec.json.decode(answer, type=dict[str, Any])
    except TimeoutError:
        raise Failure("timeout", "Bedrock did not answer in time") from None
    finally:
        await pool.aclose()
        await signer.aclose()


def _looked(variant: Variant) -> tuple[dict[str, Any], Variant]:
    """What there is to say of a variant, and the variant as it is proposed."""
    from hapenny.caching.prefix.lint import lint as findings
    from hapenny.counting.registry import Estimators

    request, card = variant.request(), resolve(variant.model)
    estimator = Estimators.best().get("bedrock", variant.model)
    static = total = 0
    last: Part | None = None
    whole = True  # all that was looked at so far is the same in every call
    for part in variant.parts():
        total += round(estimator.tokens(part.text))
        if whole and part.static:
            static += round(estimator.tokens(part.static))
            last = part
        whole = whole and part.static == part.text
    least = card.cache_min if card is not None else None
    told: dict[str, Any] = {
        "variant": variant.name,
        "model": variant.model,
        "tokens": total,
        "static_tokens": static,
        "cache_min": least,
        "findings": [msgspec.to_builtins(finding) for finding in findings(request)],
        "proposal": None,
    } | _prices(card, total, static)
    proposed = variant
    if variant.has_points():
        told["why"] = "it has cache points already"
    elif card is None or card.cache_mode != "explicit" or least is None:
        told["why"] = "its model takes no cache points, as far as the catalog knows"
    elif static < least or last is None:
        told["why"] = f"its static prefix has about {static} tokens; the model caches from {least}"
    else:
        try:
            proposed = variant.pointed(last)
            told["proposal"] = ".".join(str(each) for each in last.at)
        except Failure as failure:
            told["why"] = failure.sentence()
    return told, proposed


def _prices(card: Card | None, total: int, static: int) -> dict[str, Any]:
    """Dollars a thousand calls for the template alone: as it is, and with its static prefix read from the cache."""
    rates = card.rates() if card is not None else None
    if rates is None or rates.input is None:
        return {"usd_1000_calls": None, "usd_1000_calls_cached": None}
    plain = total * rates.input / 1e9
    read = rates.cache_read
    cached = ((total - static) * rates.input + static * read) / 1e9 if read is not None else None
    return {"usd_1000_calls": plain, "usd_1000_calls_cached": cached}


def _show(told: dict[str, Any]) -> None:
    counts = f"about {told['tokens']} tokens, {told['static_tokens']} before the first variable"
    say(f"{told['variant']} ({told['model'] or 'no model'}): {counts}")
    if told["usd_1000_calls"] is not None:
        cached = told["usd_1000_calls_cached"]
        more = f", ${cached:.4f} with its prefix from the cache" if cached is not None else ""
        say(f"  ${told['usd_1000_calls']:.4f} a thousand calls, list price of the template alone{more}")
    for finding in told["findings"]:
        say(f"  {finding['where']}: {finding['rule']}: {finding['advice']}")
    if told["proposal"] is not None:
        say(f"  proposal: a cache point behind {told['proposal']}")
    else:
        say(f"  no cache point: {told['why']}")
