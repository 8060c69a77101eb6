"""AWS STS: a role's credentials for a web identity token."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from hapenny.backends.credentials import seconds
from hapenny.backends.pool import Pool
from hapenny.backends.url import origin
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.protocols.sigv4 import Credentials


class Sts:
    """The one call of the service that we need (query protocol, version 2011-06-15)."""

    def __init__(self, pool: Pool, region: str, endpoint: str | None = None) -> None:
        self._pool = pool
        self._endpoint = origin(endpoint or f"https://sts.{region}.amazonaws.com").at("/")

    async def web_identity(self, role: str, session: str, token: str) -> Credentials:
        """AssumeRoleWithWebIdentity; unsigned. Raises `Failure`."""
        return await self._ask(
            {
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": role,
                "RoleSessionName": session,
                "WebIdentityToken": token,
            }
        )

    async def _ask(self, fields: Mapping[str, str]) -> Credentials:
        body = urlencode(fields).encode()
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        try:
            async with asyncio.timeout(10):
                lease = await self._pool.send("POST", self._endpoint, headers, body)
                answer = (await lease.whole(1 << 20)).decode("utf-8", "replace")
        except TimeoutError:
            raise Failure("unavailable", "AWS STS did not answer in time") from None
        if lease.status != 200:
            code = _tag(answer, "Code") or str(lease.status)
            raise Failure("authentication", f"AWS STS refused {fields['Action']}: {code}", upstream_status=lease.status)
        key, secret = _tag(answer, "AccessKeyId"), _tag(answer, "SecretAccessKey")
        token, expires = _tag(answer, "SessionToken"), _tag(answer, "Expiration")
        if not key or not secret or not expires:
            raise Failure("authentication", "AWS STS sent no credentials")
        return Credentials(key, secret, token, seconds(expires))


def _tag(xml: str, name: str) -> str | None:
    """The text of the first element `name`. The answer is flat and holds no entities but these five."""
    match = re.search(rf"<{name}>\s*([^<]*?)\s*</{name}>", xml)
    if match is None:
        return None
    text = match[1]
    for entity, mark in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
        text = text.replace(entity, mark)
    return text


class WebIdentity:
    """A role by `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN` (EKS service accounts, OIDC)."""

    name = "web identity"

    def __init__(self, sts: Sts, clock: Clock, environment: Mapping[str, str]) -> None:
        self._sts = sts
        self._clock = clock
        self._environment = environment

    async def fetch(self) -> Credentials | None:
        """Reads the token anew each time: it is rotated on disk."""
        env = self._environment
        file, role = env.get("AWS_WEB_IDENTITY_TOKEN_FILE"), env.get("AWS_ROLE_ARN")
        if not file or not role:
            return None
        return await by_token(self._sts, self._clock, file, role, env.get("AWS_ROLE_SESSION_NAME"))


async def by_token(sts: Sts, clock: Clock, file: str, role: str, session: str | None) -> Credentials:
    """A role's credentials for the token in `file`."""
    try:
        token = await clock.work("file", 1, lambda: Path(file).read_text(encoding="utf-8").strip())
    except OSError as error:
        raise Failure("authentication", f"the web identity token cannot be read: {error.strerror}") from None
    return await sts.web_identity(role, session or f"hapenny-{int(clock.wall())}", token)
