"""Cross-region inference: which places may serve a model, by residency, and what that costs. Pure.

Rules (dated facts in the reference): a geographic profile (`us.`, `eu.`, ...) keeps requests within its geography, the
global one does not; the price is that of the source region's class; provisioned throughput cannot be used with a
profile; a service control policy that denies any region of a profile breaks it, for a global one unless it allows
`unspecified`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from hapenny.catalog import resolve as default_resolve
from hapenny.catalog.card import Card
from hapenny.catalog.catalog import base_id, region_class
from hapenny.throughput.options import EndpointOptions, RegionPolicy

GEOGRAPHIES: Mapping[str, tuple[str, ...]] = {
    "us-gov": ("us-gov-",),
    "us": ("us-east-", "us-west-"),
    "eu": ("eu-",),
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "au": ("ap-southeast-2", "ap-southeast-4"),
    "apac": ("ap-",),
    "ca": ("ca-",),
    "in": ("ap-south-",),
    "sa": ("sa-",),
}
"""Profile prefix to the regions that may be its source, by how their names begin."""


_DATED = re.compile(r"(-20\d{6})?(-v\d+(:\d+)?)?$")
"""What ids of the second endpoint family do not have: date and version."""


class ServingPlace(NamedTuple):
    """A way to call a model: `price` is pico-dollars of a typical call (3 input tokens to 1 output), None unknown;
    `backend` is the second endpoint family's, where it is called there."""

    name: str
    model: str
    region: str
    tier: str
    backend: str
    price: int | None


class Problem(NamedTuple):
    """Something wrong with a policy: where, what, and what to change."""

    path: str
    message: str
    fix: str


def geography(region: str) -> str:
    """The profile prefix of a source region, "" if it has none."""
    for prefix, starts in GEOGRAPHIES.items():
        if region.startswith(starts):
            return prefix
    return ""


Resolve: TypeAlias = Callable[[str], Card | None]
"""The card of a model, at the prices of a deployment."""


def places(card: Card, policy: RegionPolicy, resolve: Resolve = default_resolve) -> list[ServingPlace]:
    """Where `card`'s model may be called under `policy`, provisioned first, then cheapest first.

    A place is offered only if the catalog lists its region class for the model; an unknown price comes last.
    """
    base = base_id(card.id)
    names = [("region", base)]
    if policy.residency != "region" and (geo := geography(policy.source)):
        for prefix in _profiles(geo):
            if f"geo:{prefix}" in card.prices:
                names.append(("geography", f"{prefix}.{base}"))
                break
    if policy.residency == "anywhere" and "global" in card.prices:
        names.append(("global", f"global.{base}"))
    served = []
    for scope, model in names:
        kind = region_class(model, policy.source)
        if scope == "region" and "in_region" not in card.prices and kind not in card.prices:
            continue
        for tier in policy.tiers:
            price = _price(card, tier, kind)
            served.append(ServingPlace(f"{scope}-{tier}", model, policy.source, tier, "", price))
            if policy.second_endpoint and scope == "region":
                plain = _DATED.sub("", base)
                if resolve(f"bedrock_mantle/{plain}") is not None:
                    served.append(
                        ServingPlace(f"second-{tier}", plain, policy.source, tier, policy.second_endpoint, price)
                    )
    served.sort(key=lambda place: (place.price is None, place.price or 0))
    if policy.provisioned:
        served.insert(0, ServingPlace("provisioned", policy.provisioned, policy.source, "provisioned", "", 0))
    return served


def endpoints(card: Card, policy: RegionPolicy, resolve: Resolve = default_resolve) -> tuple[EndpointOptions, ...]:
    """The same as endpoints of the throughput stage: cheaper ones are used up before dearer ones."""
    served = places(card, policy, resolve)
    least = min((p.price for p in served if p.price), default=1)
    return tuple(
        EndpointOptions(
            name=place.name,
            region=place.region,
            service_tier=place.tier,
            backend=place.backend,
            profile=place.model,
            cost_factor=2.0 if place.price is None else round(place.price / least, 4),
        )
        for place in served
    )


def check(model: str, policy: RegionPolicy, card: Card | None, path: str = "$") -> list[Problem]:
    """What is wrong with `policy` for `model`, before anything is called."""
    problems = []
    profile = region_class(model, policy.source)
    scoped = profile == "global" or profile.startswith("geo:")
    if policy.provisioned and scoped:
        problems.append(
            Problem(
                f"{path}.provisioned",
                f"provisioned throughput cannot be used with the inference profile {model!r}",
                f"name the plain model {base_id(model)!r}, or leave provisioned out",
            )
        )
    if profile == "global" and policy.residency != "anywhere":
        problems.append(
            Problem(
                f"{path}.residency",
                f"{model!r} may be served anywhere, but residency is {policy.residency!r}",
                "set residency to anywhere, or use the geographic profile",
            )
        )
    if profile.startswith("geo:") and profile[4:] not in _profiles(geography(policy.source)):
        problems.append(
            Problem(
                f"{path}.source",
                f"{model!r} cannot be called from {policy.source}",
                f"call it from a region of {profile[4:]!r}, or use a profile of {geography(policy.source)!r}",
            )
        )
    if card is not None and not problems and not places(card, policy):
        problems.append(
            Problem(
                path,
                f"the catalog knows no place where {card.id} is served under residency {policy.residency!r}",
                "allow geography or anywhere: newer models are served through profiles alone",
            )
        )
    return problems


_DENIED = re.compile(
    r"not authorized to perform: bedrock:\S+ on resource: (?:arn:aws[\w-]*:bedrock:(?P<region>[\w-]*):\S+)"
    r".*?explicit deny in a service control policy",
    re.DOTALL,
)


def diagnose(message: str, model: str, allowed: Sequence[str] = ()) -> Problem | None:
    """What an access error of a profile call really says: a service control policy that denies one of its regions."""
    denied = _DENIED.search(message)
    if denied is None:
        return None
    region, kind = denied["region"], region_class(model)
    if kind == "global":
        fix = "allow `unspecified` as aws:RequestedRegion for bedrock:InvokeModel* on global profiles, or leave global"
    elif kind.startswith("geo:"):
        fix = f"allow every region of the {kind[4:]!r} profile (at least {region or 'the one denied'}), or drop it"
    else:
        fix = f"allow {region or 'the region'} in the service control policy"
    where = region or "unspecified"
    return Problem("scp", f"a service control policy denies bedrock in {where}, which {model!r} needs", fix)


def _profiles(geo: str) -> tuple[str, ...]:
    """The profiles that may be called from a geography, closest first."""
    return (geo, "apac") if geo in ("jp", "au", "in") else (geo,)


def _price(card: Card, tier: str, kind: str) -> int | None:
    rates = card.rates(tier, kind)
    if rates is None or rates.input is None or rates.output is None:
        return None
    return 3 * rates.input + rates.output
