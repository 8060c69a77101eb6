"""`hapenny doctor`: what is wrong with a configuration, an account or an error message, and what to change."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from hapenny.catalog import default
from hapenny.cli.printable import say, say_json
from hapenny.config import Config, ConfigError, load
from hapenny.guarding.options import GUARD_CONTEXT_STAGE, GUARD_INPUT_STAGE, GUARD_OUTPUT_STAGE
from hapenny.throughput.options import THROUGHPUT_STAGE, RegionPolicy, ThroughputOptions
from hapenny.throughput.regions import Problem, check, diagnose, places
from hapenny.throughput.service_quotas import ServiceQuota


@click.command()
@click.option("-c", "--config", "path", type=click.Path(dir_okay=False), help="Configuration to check.")
@click.option("--error", "message", default="", help="A provider's error message or body, to be explained.")
@click.option("--model", default="", help="The model or inference profile that the error is about.")
@click.option("--quotas", is_flag=True, help="Read the account's Bedrock quotas (needs credentials and hapenny[aws]).")
@click.option("--region", default="us-east-1", show_default=True, help="Region whose quotas or metrics are read.")
@click.option("--write", "file", type=click.Path(dir_okay=False), help="With --quotas: a YAML file to write them to.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: problems, and what was proved.")
@click.option("--reconcile", "reconciles", is_flag=True, help="Compare the ledger with CloudWatch and Cost Explorer.")
@click.option(
    "--regions",
    "executing",
    is_flag=True,
    help="Where each model of Bedrock may process, TLS to it, and CloudTrail's events that prove where it did.",
)
@click.option(
    "--days", default=7, show_default=True, type=click.IntRange(1, 90), help="With --reconcile, --regions: of the past."
)
@click.option("--tag", default="", help="With --reconcile: a cost allocation tag whose values are the tenants.")
@click.option("--url", default="", help="A running gateway: what holds calls back there now.")
@click.option("--key", envvar="HAPENNY_KEY", default="", help="With --url: a hapenny key.")
def doctor(
    path: str | None,
    message: str,
    model: str,
    quotas: bool,
    region: str,
    file: str | None,
    as_json: bool,
    reconciles: bool,
    executing: bool,
    days: int,
    tag: str,
    url: str,
    key: str,
) -> None:
    """Check a configuration, explain an error, read the account's quotas, or look at a running gateway. Exits with 1 if
    something is wrong.

    With a configuration, every fallback is tried in a dry run: no provider is asked.
    """
    if message:
        problem = diagnose(message, model) or explained(message)
        if problem is None:
            raise click.ClickException(
                "nothing in this message is known. Fix: paste the provider's whole error, with its status and type"
            )
        _show([problem], as_json)
        raise SystemExit(1)
    if file is not None and not quotas:
        raise click.UsageError("--write needs --quotas")
    if quotas:
        _quotas(region, file)
        return
    if url:
        from hapenny.cli.cache import call_gateway

        holding = held(call_gateway((url.rstrip("/"), key), "GET", "/v1/throughput")["routes"])
        if not holding and not as_json:
            say("nothing holds calls back now")
        _show(holding, as_json)
        if path is None:
            return
    try:
        config = load(path)
    except ConfigError as error:
        if as_json:
            _print_json([Problem("configuration", each, "") for each in error.problems], [])
        else:
            for each in error.problems:
                say(f"configuration: {each}")
        raise SystemExit(1) from None
    if reconciles:
        from hapenny.cli.reconcile import reconcile

        raise SystemExit(1 if reconcile(config, region, days, tag, as_json) else 0)
    if executing:
        from hapenny.cli.executing_regions import look as look_at_regions

        problems, proved = look_at_regions(config, days)
    else:
        problems, proved = look(config)
    if as_json:
        _print_json(problems, proved)
    else:
        for line in proved:
            say(line)
        _show(problems, False)
    if problems:
        raise SystemExit(1)
    if not as_json:
        say("nothing is wrong that can be seen from here")


def held(routes: list[dict[str, Any]]) -> list[Problem]:
    """What holds calls back in a running gateway, by `GET /v1/throughput`."""
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
    return problems


def look(config: Config) -> tuple[list[Problem], list[str]]:
    """What is wrong with what a configuration stands on, and what was found to work, a line each."""
    from hapenny.cli.doctor_stores import look_at_stores
    from hapenny.cli.preflight import look_around
    from hapenny.core import log

    log.configure("error")  # what looking around and scripted providers say is no news
    problems, proved = _regions(config.stages[THROUGHPUT_STAGE])
    problems += look_around(config)
    more, lines = look_at_stores(config)
    problems, proved = problems + more, proved + lines
    guarded, shown = _guardrails(config)
    problems, proved = problems + guarded, proved + shown
    try:
        more, lines = _fallbacks(config)
    except (ConfigError, ImportError, OSError, ValueError) as error:
        from hapenny.cli.start_problems import problems_of

        more, lines = [Problem("start", each.partition(". Fix:")[0], _fix(each)) for each in problems_of(error)], []
    return problems + more, proved + lines


def explained(message: str) -> Problem | None:
    """What a provider's error means, as a problem with its fix."""
    from hapenny.protocols.pasted_errors import explain

    known = explain(message)
    if known is None:
        return None
    again = "it is tried again, or sent elsewhere" if known.again else "it is not tried again"
    source = f"; as in {known.source}" if known.source else ""
    return Problem(known.kind, f"clients get {known.status}, {again}{source}", known.fix)


def _fix(line: str) -> str:
    return line.partition("Fix: ")[2] or "see the message"


def _fallbacks(config: Config) -> tuple[list[Problem], list[str]]:
    """Each fallback tried in each way; what answered in all of them is one line."""
    from hapenny.studies.fallback_check import check_fallbacks

    problems: list[Problem] = []
    good: dict[tuple[str, str, str], list[str]] = {}
    for tried in check_fallbacks(config):
        if not tried.answered:
            problems.append(
                Problem(
                    f"$.fallbacks.{tried.name}",
                    f"on route {tried.route} nobody answers after: {tried.way} ({tried.why})",
                    "name another model that can take the request, of another provider if it is an outage",
                )
            )
        else:
            good.setdefault((tried.name, tried.route, tried.answered), []).append(tried.way)
    lines = [
        f"fallback of {name} on route {route}: {model} answers after {', '.join(ways)}"
        for (name, route, model), ways in good.items()
    ]
    return problems, lines


def _regions(options: ThroughputOptions) -> tuple[list[Problem], list[str]]:
    """What is wrong with regions and provisioned throughput, model by model; and the places that may serve each."""
    problems: list[Problem] = []
    lines: list[str] = []
    catalog = default()
    for name, model in options.models.items():
        at = f"$.stages.throughput.models.{name}.regions"
        if model.regions is None:
            continue
        card = catalog.resolve(name)
        problems += check(name, model.regions, card, at)
        if card is not None:
            lines += _places(name, card, model.regions)
    return problems, lines


def _guardrails(config: Config) -> tuple[list[Problem], list[str]]:
    """What about guardrails will surprise, and which routes have which."""
    problems: list[Problem] = []
    lines: list[str] = []
    for name, route in config.routes.items():
        modes = {spec.name: route.mode(spec) for spec in (GUARD_INPUT_STAGE, GUARD_CONTEXT_STAGE, GUARD_OUTPUT_STAGE)}
        shown = ", ".join(f"{stage} {mode}" for stage, mode in modes.items() if mode != "off")
        lines += [f"route {name}: guardrails: {shown}"] if shown else []
        at = f"$.routes.{name}.stages"
        if modes["guard_output"] == "shadow":
            fix = "guard_output: on, with the action note"
            problems.append(Problem(f"{at}.guard_output", "answers are not read in shadow", fix))
        if modes["guard_output"] == "on" and route.cache_scope == "shared":
            lines.append(f"route {name}: publishes no answers for a CDN, since guard_output is on")
    stages = config.stages
    asked = {
        rules.remote
        for options in (stages[GUARD_INPUT_STAGE], stages[GUARD_CONTEXT_STAGE], stages[GUARD_OUTPUT_STAGE])
        for rules in (options, *options.routes.values())
    }
    for name in config.guardrails:
        if name not in asked:
            problems.append(Problem(f"$.guardrails.{name}", "no stage asks it", f"remote: {name} in a stage"))
    return problems, lines


def _places(name: str, card: object, policy: RegionPolicy) -> list[str]:
    from hapenny.catalog.card import Card

    assert isinstance(card, Card)
    lines = []
    for place in places(card, policy):
        price = "price unknown" if place.price is None else f"{place.price / 4_000_000:.2f} $ a million tokens"
        lines.append(f"{name}: {place.name} ({place.model} from {place.region}): {price}")
    return lines


def _show(problems: list[Problem], as_json: bool) -> None:
    if as_json:
        _print_json(problems, [])
        return
    for problem in problems:
        say(f"{problem.path}: {problem.message}. Fix: {problem.fix}")


def _print_json(problems: list[Problem], proved: list[str]) -> None:
    plain = [{"path": each.path, "message": each.message, "fix": each.fix} for each in problems]
    say_json(msgspec.json.encode({"problems": plain, "proved": proved}).decode())


def _quotas(region: str, file: str | None) -> None:
    try:
        import boto3
    except ImportError:
        raise click.ClickException("reading quotas needs boto3. Fix: pip install 'hapenny[aws]'") from None
    from hapenny.throughput.service_quotas import read

    try:
        listed = read(boto3.client("service-quotas", region_name=region))
    except Exception as error:
        raise click.ClickException(
            f"Service Quotas cannot be read in {region} ({error}). Fix: the right servicequotas:ListServiceQuotas"
        ) from None
    for quota in sorted(listed):
        say(f"{quota.model} ({quota.scope}): {quota.field}: {quota.value:,.0f}")
    if file is not None:
        write(listed, region, file)


def write(listed: list[ServiceQuota], region: str, file: str) -> None:
    """Writes quotas as a fragment of a configuration; says which models have no card."""
    import yaml

    from hapenny.throughput.service_quotas import fragment

    made, unknown = fragment(
        listed, [card.id for card in default().cards.values() if card.provider == "bedrock"], region
    )
    with open(file, "w", encoding="utf-8") as out:
        out.write(f"# Bedrock's quotas in {region}, from Service Quotas.\n")
        yaml.safe_dump(made, out, sort_keys=True)
    for name in unknown:
        say(f"not written, because the catalog has no such model: {name}", err=True)
    say(f"written: {file}")


__all__ = ["doctor"]
