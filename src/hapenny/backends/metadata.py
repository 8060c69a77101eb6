"""Credentials that AWS hands to a container (ECS, EKS) or to an instance (IMDSv2)."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hapenny.backends.credentials import seconds
from hapenny.backends.pool import Pool
from hapenny.backends.url import Url, address, origin
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.protocols.sigv4 import Credentials

ECS = "http://169.254.170.2"
IMDS = "http://169.254.169.254"
_LINK_LOCAL = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
_TOKEN_SECONDS = "21600"


async def ask(
    pool: Pool, method: str, url: Url, headers: Mapping[str, str], *, timeout: float = 2.0, tries: int = 2
) -> tuple[int, bytes]:
    """Status and body of a small request; tried again when the connection fails or the service errs (5xx)."""
    for left in range(tries - 1, -1, -1):
        try:
            async with asyncio.timeout(timeout):
                lease = await pool.send(method, url, headers, b"")
                body = await lease.whole(1 << 20)
        except TimeoutError:
            if not left:
                raise Failure("unavailable", f"{url.origin.host} did not answer in time") from None
        except Failure:
            if not left:
                raise
        else:
            if lease.status < 500 or not left:
                return lease.status, body
    raise AssertionError("unreachable")


def parse(body: bytes, where: str) -> Credentials:
    """The JSON that containers and instances are given. Raises `Failure`."""
    try:
        fields: Any = msgspec.json.decode(body)
        return Credentials(
            fields["AccessKeyId"], fields["SecretAccessKey"], fields.get("Token"), seconds(fields["Expiration"])
        )
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        raise Failure("authentication", f"{where} sent no credentials") from None


class Container:
    """The endpoint named by `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `_FULL_URI`."""

    name = "container"

    def __init__(self, pool: Pool, clock: Clock, environment: Mapping[str, str]) -> None:
        self._pool = pool
        self._clock = clock
        self._environment = environment

    async def fetch(self) -> Credentials | None:
        """Asks the endpoint, if one is named."""
        env = self._environment
        relative, full = (
            env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        )
        if not relative and not full:
            return None
        url = str(full)
        if not relative and not _trusted(url):
            raise Failure(
                "authentication",
                f"AWS_CONTAINER_CREDENTIALS_FULL_URI points to {urlsplit(url).hostname}, which is neither https, "
                "loopback nor a container endpoint",
            )
        headers = {}
        token = env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        if file := env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            token = await self._clock.work("file", 1, lambda: Path(file).read_text(encoding="utf-8").strip())
        if token:
            headers["authorization"] = token
        where = origin(ECS).at(relative) if relative else address(url)
        status, body = await ask(self._pool, "GET", where, headers)
        if status != 200:
            raise Failure("authentication", f"the container endpoint answered {status}")
        return parse(body, "the container endpoint")


def _trusted(url: str) -> bool:
    split = urlsplit(url)
    host = split.hostname or ""
    if split.scheme == "https" or host in _LINK_LOCAL or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class InstanceMetadata:
    """The metadata service of an EC2 instance, version 2: a session token first."""

    name = "instance"

    def __init__(self, pool: Pool, clock: Clock, environment: Mapping[str, str]) -> None:
        self._pool = pool
        self._disabled = environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
        self._base = origin(environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", IMDS))
        self._timeout = float(environment.get("AWS_METADATA_SERVICE_TIMEOUT") or 1.0)
        self._tries = int(environment.get("AWS_METADATA_SERVICE_NUM_ATTEMPTS") or 1)

    async def fetch(self) -> Credentials | None:
        """The role's credentials; None where there is no instance or it has no role."""
        if self._disabled:
            return None
        try:
            status, token = await self._ask(
                "PUT", "/latest/api/token", {"x-aws-ec2-metadata-token-ttl-seconds": _TOKEN_SECONDS}
            )
        except Failure:
            return None
        if status != 200:
            return None
        headers = {"x-aws-ec2-metadata-token": token.decode("ascii", "replace")}
        path = "/latest/meta-data/iam/security-credentials/"
        status, roles = await self._ask("GET", path, headers)
        role = roles.decode("utf-8", "replace").split("\n")[0].strip()
        if status != 200 or not role:
            return None
        status, body = await self._ask("GET", path + role, headers)
        if status != 200:
            raise Failure("authentication", f"the instance metadata service answered {status}")
        return parse(body, "the instance metadata service")

    async def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        return await ask(self._pool, method, self._base.at(path), headers, timeout=self._timeout, tries=self._tries)
