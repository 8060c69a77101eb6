"""`hapenny doctor`: what is wrong with a configuration, an account or an error message, and what to change."""

from __future__ import annotations

from typing import Any

import click

from hapenny.catalog import default
from hapenny.config import ConfigError, load
from hapenny.throughput.options import THROUGHPUT_STAGE, RegionPolicy, ThroughputOptions
from hapenny.throughput.regions import Problem, check, diagnose, places
from hapenny.throughput.service_quotas import Found


@click.command()
@click.option("-c", "--config", "path", type=click.Path(dir_okay=False), help="Configuration to check.")
@click.option("--error", "message", default="", help="An access error of Bedrock, to be explained.")
@click.option("--model", default="", help="The model or inference profile that the error is about.")
@click.option("--quotas", is_flag=True, help="Read the account's Bedrock quotas (needs credentials and hapenny[aws]).")
@click.option("--region", default="us-east-1", show_default=True, help="Region whose quotas are read.")
@click.option("--write", "file", type=click.Path(dir_okay=False), help="With --quotas: a YAML file to write them to.")
@click.option("--url", default="", help="A running gateway: what holds calls back there now.")
@click.option("--key", envvar="HAPENNY_KEY", default="", help="With --url: a hapenny key.")
def doctor(
    path: str | None, message: str, model: str, quotas: bool, region: str, file: str | None, url: str, key: str
) -> None:
    """Check a configuration, explain an error, read the account's quotas, or look at a running gateway. Exits with 1 if
    something is wrong."""
    if message:
        problem = diagnose(message, model)
        if problem is None:
            raise click.ClickException("this is not the message of a service control policy's deny")
        _show([problem])
        raise SystemExit(1)
    if file is not None and not quotas:
        raise click.UsageError("--write needs --quotas")
    if quotas:
        _quotas(region, file)
        return
    if url:
        from hapenny.cli.cache import call_gateway

        _show(held(call_gateway((url.rstrip("/"), key), "GET", "/v1/throughput")["routes"]))
        if path is None:
            return
    try:
        config = load(path)
    except ConfigError as error:
        for each in error.problems:
            click.echo(f"configuration: {each}")
        raise SystemExit(1) from None
    problems = look(config.stages[THROUGHPUT_STAGE])
    _show(problems)
    if problems:
        raise SystemExit(1)
    click.echo("nothing is wrong that can be seen from here")


def held(routes: list[dict[str, Any]]) -> list[Problem]:
    """What holds calls back in a running gateway, by `GET /v1/throughput`; says so where nothing does."""
    problems = []
    for route in routes:
        for endpoint in route["endpoints"]:
            at, quota = f"{route['model']} ({endpoint['name']})", endpoint.get("quota") or {}
            if endpoint["health"] != "closed":
                fix = "nothing: it is probed every few seconds; see the provider's status"
                problems.append(Problem(at, "fails, and is only probed", fix))
            if quota.get("asked_again_in_s"):
                rest = (
                    f"the provider refuses calls for lack of quota; it is asked again in {quota['asked_again_in_s']} s"
                )
                problems.append(Problem(at, rest, "ask the provider for more quota, or send less"))
            if quota.get("learnt"):
                learnt = (
                    f"kept to about {quota['tokens_per_minute']:,} tokens a minute, learnt from the provider's refusals"
                )
                fix = (
                    "state the quota (stages.throughput.models.NAME.quota); without a refusal it is forgotten in 10 min"
                )
                problems.append(Problem(at, learnt, fix))
    if not problems:
        click.echo("nothing holds calls back now")
    return problems


def look(options: ThroughputOptions) -> list[Problem]:
    """What is wrong with regions and provisioned throughput, model by model; prints the places that may serve each."""
    problems = []
    catalog = default()
    for name, model in options.models.items():
        at = f"$.stages.throughput.models.{name}.regions"
        if model.regions is None:
            continue
        card = catalog.resolve(name)
        problems += check(name, model.regions, card, at)
        if card is not None:
            _places(name, card, model.regions)
    return problems


def _places(name: str, card: object, policy: RegionPolicy) -> None:
    from hapenny.catalog.card import Card

    assert isinstance(card, Card)
    for place in places(card, policy):
        price = "price unknown" if place.price is None else f"{place.price / 4_000_000:.2f} $ a million tokens"
        click.echo(f"{name}: {place.name} ({place.model} from {place.region}): {price}")


def _show(problems: list[Problem]) -> None:
    for problem in problems:
        click.echo(f"{problem.path}: {problem.message}. Fix: {problem.fix}")


def _quotas(region: str, file: str | None) -> None:
    try:
        import boto3
    except ImportError:
        raise click.ClickException("reading quotas needs boto3: pip install 'hapenny[aws]'") from None
    from hapenny.throughput.service_quotas import read

    try:
        found = read(boto3.client("service-quotas", region_name=region))
    except Exception as error:
        raise click.ClickException(f"Service Quotas cannot be read in {region}: {error}") from None
    for quota in sorted(found):
        click.echo(f"{quota.model} ({quota.scope}): {quota.field}: {quota.value:,.0f}")
    if file is not None:
        write(found, region, file)


def write(found: list[Found], region: str, file: str) -> None:
    """Writes quotas as a fragment of a configuration; says which models have no card."""
    import yaml

    from hapenny.throughput.service_quotas import fragment

    made, unknown = fragment(
        found, [card.id for card in default().cards.values() if card.provider == "bedrock"], region
    )
    with open(file, "w", encoding="utf-8") as out:
        out.write(f"# Bedrock's quotas in {region}, from Service Quotas.\n")
        yaml.safe_dump(made, out, sort_keys=True)
    for name in unknown:
        click.echo(f"not written, because the catalog has no such model: {name}", err=True)
    click.echo(f"written: {file}")


__all__ = ["doctor"]
