"""`hapenny doctor`: what is wrong with a configuration, an account or an error message, and what to change."""

from __future__ import annotations

import click

from hapenny.catalog import default
from hapenny.cli.printable import say
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
def doctor(path: str | None, message: str, model: str, quotas: bool, region: str, file: str | None) -> None:
    """Check a configuration, explain an error, or read the account's quotas. Exits with 1 if something is wrong."""
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
    try:
        config = load(path)
    except ConfigError as error:
        for each in error.problems:
            say(f"configuration: {each}")
        raise SystemExit(1) from None
    problems = look(config.stages[THROUGHPUT_STAGE])
    _show(problems)
    if problems:
        raise SystemExit(1)
    say("nothing is wrong that can be seen from here")


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
        say(f"{name}: {place.name} ({place.model} from {place.region}): {price}")


def _show(problems: list[Problem]) -> None:
    for problem in problems:
        say(f"{problem.path}: {problem.message}. Fix: {problem.fix}")


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
        say(f"{quota.model} ({quota.scope}): {quota.field}: {quota.value:,.0f}")
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
        say(f"not written, because the catalog has no such model: {name}", err=True)
    say(f"written: {file}")


__all__ = ["doctor"]
