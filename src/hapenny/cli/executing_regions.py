"""`hapenny doctor --regions`: where each model of Bedrock may process a request, how it gets there, and where it did.

Three kinds of evidence. Where it may: the inference profile's own list (`GetInferenceProfile`), or what its prefix says
where the account may not read that. How: a TLS handshake with the endpoint. Where it did: CloudTrail's events of
InvokeModel and Converse, whose `additionalEventData.inferenceRegion` names the region that ran a cross-region call
(without it the call ran where it was made). Events appear some five minutes after the call, and stay 90 days.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from hapenny.catalog.catalog import region_class
from hapenny.cli.sending import client
from hapenny.config import Config
from hapenny.core.clock import RealClock
from hapenny.throughput.options import THROUGHPUT_STAGE
from hapenny.throughput.regions import GEOGRAPHIES, Problem, geography

CALLS = frozenset({"InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream"})
HANDSHAKE_S = 5.0
MOST_EVENTS = 2_000
"""Of CloudTrail that are read, newest first: it gives fifty a request, two requests a second."""
ANYWHERE = "any commercial region"


class Called(NamedTuple):
    """A model as the configuration calls it."""

    model: str
    region: str
    url: str


class Executed(msgspec.Struct, frozen=True):
    """Calls of one model that ran in one region."""

    model: str
    source: str
    """The region that was called."""
    region: str
    """The region that ran it."""
    calls: int
    name: str
    """Of the newest event."""
    event: str
    """Its id: the proof."""


def models_of(config: Config) -> list[Called]:
    """Every model that the configuration names and a backend of kind bedrock calls."""
    backends = {name: each for name, each in config.backends.items() if each.kind == "bedrock"}
    if not backends:
        return []
    called: dict[tuple[str, str], Called] = {}
    names = {*config.tiers.values(), *config.stages[THROUGHPUT_STAGE].models, *config.models}
    for name in sorted(names):
        options = config.models.get(name)
        backend = config.backend_of(options.backend if options is not None else "")
        if backend not in backends:
            continue
        at: Any = backends[backend]
        region = (options.region if options is not None else "") or at.region
        model = options.id if options is not None else name
        url = at.base_url or f"https://bedrock-runtime.{region}.amazonaws.com"
        called[model, region] = Called(model, region, url)
    return list(called.values())


def destinations(bedrock: Any, called: Called) -> tuple[list[str], str]:
    """The regions in which a model may process, and how that is known. An empty list: anywhere."""
    from botocore.exceptions import BotoCoreError, ClientError

    kind = region_class(called.model, called.region)
    if not kind.startswith(("geo:", "global")) and ":application-inference-profile/" not in called.model:
        return [called.region], "no profile: where it is called"
    try:
        profile = bedrock.get_inference_profile(inferenceProfileIdentifier=called.model)
    except (BotoCoreError, ClientError) as error:
        why = f"assumed by its prefix; GetInferenceProfile: {type(error).__name__}"
        return ([] if kind == "global" else [f"{each}*" for each in GEOGRAPHIES.get(kind[4:], ())]), why
    regions = {each["modelArn"].split(":")[3] for each in profile["models"]}
    if "" in regions or "*" in regions:
        return [], "GetInferenceProfile"
    return sorted(regions), "GetInferenceProfile"


def handshake(url: str, trust: ssl.SSLContext | None = None) -> str:
    """Protocol and cipher of an endpoint. Raises `OSError`, or `ValueError` for an address without TLS."""
    place = urlsplit(url)
    if place.scheme != "https" or place.hostname is None:
        raise ValueError("not encrypted")
    context = trust or ssl.create_default_context()
    with (
        socket.create_connection((place.hostname, place.port or 443), HANDSHAKE_S) as plain,
        context.wrap_socket(plain, server_hostname=place.hostname) as secure,
    ):
        cipher = secure.cipher()
        return f"{secure.version()}, {cipher[0] if cipher else 'no cipher'}"


def executed(events: Iterable[Mapping[str, Any]]) -> list[Executed]:
    """Where calls ran, by `LookupEvents`' entries, newest first."""
    newest: dict[tuple[str, str, str], Executed] = {}
    for event in events:
        if event.get("EventName") not in CALLS:
            continue
        said = msgspec.json.decode(event["CloudTrailEvent"])
        model = str((said.get("requestParameters") or {}).get("modelId") or "unknown")
        source = str(said.get("awsRegion", ""))
        region = str((said.get("additionalEventData") or {}).get("inferenceRegion") or source)
        key = model, source, region
        known = newest.get(key)
        if known is None:
            newest[key] = Executed(model, source, region, 1, event["EventName"], str(event.get("EventId", "")))
        else:
            newest[key] = msgspec.structs.replace(known, calls=known.calls + 1)
    return sorted(newest.values(), key=lambda each: (each.model, -each.calls, each.region))


def look(config: Config, days: int) -> tuple[list[Problem], list[str]]:
    """What is wrong, and what was proved, a line each."""
    problems: list[Problem] = []
    lines: list[str] = []
    models = models_of(config)
    if not models:
        return [], ["no model is called on Bedrock: nothing crosses regions there"]
    allowed: dict[str, list[str]] = {}
    for called in models:
        regions, how = destinations(client("bedrock", called.region), called)
        allowed[called.model] = regions
        shown = ", ".join(regions) or ANYWHERE
        lines.append(f"{called.model} from {called.region}: may process in {shown} ({how})")
    for url in sorted({called.url for called in models}):
        try:
            lines.append(f"{url}: {handshake(url)}")
        except ValueError:
            fix = "base_url: https://…"
            problems.append(Problem(url, "what is sent there is not encrypted", fix))
        except OSError as error:
            fix = "look at the network, and at the certificate"
            problems.append(Problem(url, f"no TLS connection: {type(error).__name__}", fix))
    for region in sorted({called.region for called in models}):
        more, proved = _trail(config, region, [each for each in models if each.region == region], allowed, days)
        problems, lines = problems + more, lines + proved
    return problems, lines


def _trail(
    config: Config, region: str, models: list[Called], allowed: Mapping[str, list[str]], days: int
) -> tuple[list[Problem], list[str]]:
    from botocore.exceptions import BotoCoreError, ClientError

    now = RealClock().wall()
    try:
        pages = (
            client("cloudtrail", region)
            .get_paginator("lookup_events")
            .paginate(
                LookupAttributes=[{"AttributeKey": "EventSource", "AttributeValue": "bedrock.amazonaws.com"}],
                StartTime=now - days * 86_400,
                EndTime=now,
                PaginationConfig={"MaxItems": MOST_EVENTS},
            )
        )
        ran = executed(event for page in pages for event in page.get("Events", ()))
    except (BotoCoreError, ClientError) as error:
        fix = "credentials with cloudtrail:LookupEvents"
        return [Problem(f"cloudtrail {region}", f"cannot be read: {type(error).__name__}", fix)], []
    problems: list[Problem] = []
    lines: list[str] = []
    for called in models:
        mine = [each for each in ran if _same(each.model, called.model)]
        if not mine:
            lines.append(f"{called.model}: CloudTrail has no call from {region} in {days} days (events come late)")
        for each in mine:
            lines.append(
                f"{called.model}: ran in {each.region}, {each.calls} times (CloudTrail: {each.name}, {each.event})"
            )
            why = _outside(config, called, each, allowed[called.model])
            if why:
                fix = "a profile whose regions are allowed, or the plain model; deny the others by policy"
                problems.append(Problem(f"{called.model} from {region}", f"ran in {each.region}: {why}", fix))
    return problems, lines


def _same(told: str, model: str) -> bool:
    """Whether CloudTrail's name of a model, an id or an ARN, is one of ours."""
    return told == model or told.rpartition("/")[2] == model.rpartition("/")[2]


def _outside(config: Config, called: Called, ran: Executed, regions: list[str]) -> str:
    """Why a call should not have run where it did; empty: it should."""
    if regions and not any(ran.region.startswith(each.rstrip("*")) for each in regions):
        return f"not one of {', '.join(regions)}"
    options = config.stages[THROUGHPUT_STAGE].models.get(called.model)
    policy = options.regions if options is not None else None
    if policy is None or policy.residency == "anywhere":
        return ""
    if policy.residency == "region" and ran.region != policy.source:
        return f"residency is {policy.source} alone"
    if policy.residency == "geography" and geography(ran.region) != geography(policy.source):
        return f"residency is the geography of {policy.source}"
    return ""
