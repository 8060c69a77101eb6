"""AWS Signature Version 4, by hand: signing requests, and verifying those that clients signed.

Source: "Create a signed AWS API request" (AWS IAM user guide). For services other than S3 the canonical path is the
sent path percent-encoded once more. The signing key changes with date, region and service, so it is kept per day.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from functools import lru_cache
from urllib.parse import quote, unquote

from msgspec import Struct

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICES = frozenset({"bedrock", "bedrock-mantle"})
"""Signing names of Bedrock's clients: the runtime's, and that of its endpoints in other dialects than its own."""
SKEW_S = 300.0
"""How far the clock of a signer may differ, in seconds."""


class Credentials(Struct, frozen=True):
    """What signs. `expires` is Unix time in seconds, 0 for never."""

    access_key: str
    secret_key: str
    token: str | None = None
    expires: float = 0.0

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r}, ...)"


class Claim(Struct, frozen=True):
    """What an `Authorization` header says of its signer."""

    access_key: str
    date: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str


@lru_cache(maxsize=128)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one day (`date` as YYYYMMDD)."""
    key = hmac.digest(("AWS4" + secret).encode(), date.encode(), "sha256")
    for part in (region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def amz_date(seconds: float) -> str:
    """Unix time as YYYYMMDDTHHMMSSZ (proleptic Gregorian; Hinnant's days-to-civil)."""
    whole = int(seconds)
    days, rest = divmod(whole, 86400)
    z = days + 719468
    era, doe = divmod(z, 146097)
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    day = doy - (153 * mp + 2) // 5 + 1
    month = mp + 3 if mp < 10 else mp - 9
    year = yoe + era * 400 + (month <= 2)
    return f"{year:04d}{month:02d}{day:02d}T{rest // 3600:02d}{rest // 60 % 60:02d}{rest % 60:02d}Z"


def unix_seconds(date: str) -> float:
    """The inverse of `amz_date`; -1 for anything else."""
    if len(date) != 16 or date[8] != "T" or date[15] != "Z" or not (date[:8] + date[9:15]).isdecimal():
        return -1.0
    year, month, day = int(date[:4]), int(date[4:6]), int(date[6:8])
    year -= month <= 2
    era, yoe = divmod(year, 400)
    doy = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    days = era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468
    return days * 86400.0 + int(date[9:11]) * 3600 + int(date[11:13]) * 60 + int(date[13:15])


def sign(
    method: str,
    host: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credentials,
    region: str,
    now: float,
    service: str = "bedrock",
    query: str = "",
) -> dict[str, str]:
    """The headers to add to a request.

    Args:
        method: upper case.
        host: as in the `Host` header.
        path: as sent, percent-encoded once.
        headers: the request's own headers; of these `content-type` is signed.
        body: as sent.
        credentials: whose signature.
        region: of the endpoint.
        now: Unix time, seconds.
        service: the signing name.
        query: as sent, without "?"; parameters sorted.
    """
    stamp = amz_date(now)
    signed = {"host": host, "x-amz-date": stamp}
    for name, value in headers.items():
        if name.lower() == "content-type":
            signed["content-type"] = value
    added = {"X-Amz-Date": stamp}
    if credentials.token:
        signed["x-amz-security-token"] = added["X-Amz-Security-Token"] = credentials.token
    names = sorted(signed)
    signature = _signature(
        credentials.secret_key, stamp, region, service, method, path, query, [(n, signed[n]) for n in names], body
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    added["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={';'.join(names)}, "
        f"Signature={signature}"
    )
    return added


def _signature(
    secret: str,
    stamp: str,
    region: str,
    service: str,
    method: str,
    path: str,
    query: str,
    signed: list[tuple[str, str]],
    body: bytes,
) -> str:
    lines = "".join([f"{name}:{' '.join(value.split())}\n" for name, value in signed])
    digest = hashlib.sha256(body).hexdigest()
    names = ";".join([name for name, _ in signed])
    canonical = f"{method}\n{quote(path, safe='/-_.~', errors='surrogateescape')}\n{query}\n{lines}\n{names}\n{digest}"
    date = stamp[:8]
    text = f"{ALGORITHM}\n{stamp}\n{date}/{region}/{service}/aws4_request\n{_hash(canonical)}"
    return hmac.digest(
        signing_key(secret, date, region, service), text.encode("utf-8", "surrogateescape"), "sha256"
    ).hex()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def claim(authorization: str) -> Claim | None:
    """What an `Authorization` header claims, nothing verified; None if it is no Signature Version 4."""
    try:
        algorithm, _, rest = authorization.partition(" ")
        fields = dict(part.strip().split("=", 1) for part in rest.split(","))
        access_key, date, region, service, end = fields["Credential"].rsplit("/", 4)
        if algorithm != ALGORITHM or end != "aws4_request" or not access_key:
            return None
        signed = tuple(fields["SignedHeaders"].split(";"))
        return Claim(access_key, date, region, service, signed, fields["Signature"])
    except (KeyError, ValueError):
        return None


def access_key(authorization: str) -> str | None:
    """The access key id that an `Authorization` header claims, or None."""
    said = claim(authorization)
    return said.access_key if said is not None else None


def verify(
    method: str,
    raw_path: str,
    headers: Mapping[str, str],
    body: bytes,
    secret: str,
    now: float,
    services: Collection[str] = SERVICES,
) -> bool:
    """Whether a request was signed with `secret`, in time, and unchanged since.

    Args:
        method: upper case.
        raw_path: path and query as received, nothing decoded.
        headers: as received, names in lower case.
        body: as received.
        secret: the secret key that belongs to the claimed access key.
        now: Unix time, seconds.
        services: the signing names that are taken.
    """
    said = claim(headers.get("authorization", ""))
    stamp = headers.get("x-amz-date", "")
    then = unix_seconds(stamp)
    if (
        said is None
        or said.service not in services
        or said.date != stamp[:8]
        or then < 0
        or not abs(now - then) <= SKEW_S
    ):
        return False
    names = said.signed
    must = {"host", "x-amz-date"} | ({"x-amz-security-token"} & headers.keys())
    if not must <= set(names) or list(names) != sorted(set(names)) or any(name not in headers for name in names):
        return False
    digest = headers.get("x-amz-content-sha256")
    if digest is not None and digest != hashlib.sha256(body).hexdigest():
        return False
    path, _, query = raw_path.partition("?")
    signed = [(name, headers[name]) for name in names]
    expected = _signature(secret, stamp, said.region, said.service, method, path, canonical_query(query), signed, body)
    return hmac.compare_digest(expected.encode(), said.signature.encode("utf-8", "replace"))


def canonical_query(query: str) -> str:
    """A query string as it is signed: names and values encoded strictly, sorted."""
    if not query:
        return ""
    pairs = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        pairs.append((quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))
