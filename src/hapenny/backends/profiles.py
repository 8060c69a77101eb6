"""Credentials from the profile files that the AWS command line keeps.

Keys that stand in a profile and roles by a web identity's token are read here. What AWS's own tools do with a profile
beyond that (single sign-on, a process that prints keys, a role assumed with another source's keys) is left to them: to
botocore, where the extra `aws` is installed.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hapenny.backends.credentials import REFRESH_S
from hapenny.backends.sts import Sts, by_token
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.protocols.sigv4 import Credentials

_BEYOND = ("role_arn", "sso_session", "sso_start_url", "credential_process", "login_session")
"""Fields of profiles that botocore is asked about."""
_AGAIN_S = 300.0
"""How long what botocore gave is used before it is asked again; it fetches anew what is about to expire."""


class Profile:
    """A profile of `~/.aws/credentials` and `~/.aws/config`.

    Args:
        clock: reads files, and asks botocore, off the loop.
        environment: `AWS_PROFILE`, `AWS_SHARED_CREDENTIALS_FILE`, `AWS_CONFIG_FILE`.
        sts: assumes roles by token.
        region: where botocore asks for other roles, if the profile names none.
        name: the profile; None: `AWS_PROFILE`, else `default`.
    """

    name = "profile"

    def __init__(self, clock: Clock, environment: Mapping[str, str], sts: Sts, region: str, name: str | None) -> None:
        self._clock = clock
        self._environment = environment
        self._sts = sts
        self._region = region
        self._asked = name is not None or "AWS_PROFILE" in environment
        self._profile = name or environment.get("AWS_PROFILE") or "default"
        self._others: Any = None
        """What botocore found: it keeps itself fresh."""

    async def fetch(self) -> Credentials | None:
        """The profile's credentials; None when it does not exist, or holds none, and nobody asked for it by name."""
        profiles = await self._clock.work("file", 1, self._read)
        fields = profiles.get(self._profile)
        if fields is None:
            if self._asked:
                known = ", ".join(sorted(profiles)) or "none"
                raise Failure("authentication", f"no AWS profile {self._profile!r}; there are: {known}")
            return None
        role, file = fields.get("role_arn"), fields.get("web_identity_token_file")
        if role and file:
            session = fields.get("role_session_name") or f"hapenny-{int(self._clock.wall())}"
            return await by_token(self._sts, self._clock, file, role, session)
        key, secret = fields.get("aws_access_key_id"), fields.get("aws_secret_access_key")
        if key and secret and not role:
            return Credentials(key, secret, fields.get("aws_session_token") or None)
        beyond = [name for name in _BEYOND if fields.get(name)]
        if beyond:
            return await self._clock.work("botocore", 1, lambda: self._by_botocore(beyond[0]))
        if self._asked:
            raise Failure("authentication", f"the AWS profile {self._profile!r} holds neither keys nor a role")
        return None

    def _by_botocore(self, why: str) -> Credentials:
        """Raises `Failure`: `authentication`, where it is not installed or finds nothing."""
        try:
            import botocore.exceptions
            import botocore.session
        except ImportError:
            raise Failure(
                "authentication",
                f"the AWS profile {self._profile!r} has {why}, which AWS's own library resolves",
                fix="pip install 'hapenny[aws]', or a profile with keys",
                retryable=False,
            ) from None
        try:
            if self._others is None:
                session = botocore.session.Session(profile=self._profile)
                for variable, name in _FILES:
                    session.set_config_variable(_BOTOCORE[variable], str(self._path(variable, name)))
                if session.get_config_variable("region") is None:
                    session.set_config_variable("region", self._region)
                self._others = session.get_credentials()
            held = self._others.get_frozen_credentials() if self._others is not None else None
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError) as error:
            raise Failure("authentication", f"the AWS profile {self._profile!r}: {error}") from None
        if held is None:
            raise Failure("authentication", f"the AWS profile {self._profile!r} has {why}, and no credentials by it")
        expires = self._clock.wall() + REFRESH_S + _AGAIN_S if held.token else 0.0
        return Credentials(held.access_key, held.secret_key, held.token or None, expires)

    def _path(self, variable: str, file: str) -> Path:
        env = self._environment
        home = Path(env.get("HOME") or "~").expanduser() / ".aws"
        return Path(env[variable]).expanduser() if env.get(variable) else home / file

    def _read(self) -> dict[str, dict[str, str]]:
        profiles: dict[str, dict[str, str]] = {}
        for variable, file in _FILES:
            parser = configparser.RawConfigParser(default_section="\0", strict=False)
            try:
                parser.read(self._path(variable, file), encoding="utf-8")
            except (configparser.Error, UnicodeDecodeError) as error:
                raise Failure("authentication", f"the AWS {file} file is damaged: {type(error).__name__}") from None
            for section in parser.sections():
                name = section.removeprefix("profile ").strip().strip('"') if file == "config" else section
                profiles.setdefault(name, {}).update(parser.items(section))
        return profiles


_FILES = (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials"))
_BOTOCORE = {"AWS_CONFIG_FILE": "config_file", "AWS_SHARED_CREDENTIALS_FILE": "credentials_file"}
