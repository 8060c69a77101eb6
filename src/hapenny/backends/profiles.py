"""Credentials from the profile files that the AWS command line keeps."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from hapenny.backends.credentials import CredentialSource, Environment
from hapenny.backends.sts import Sts, by_token
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.protocols.sigv4 import Credentials


class Profile:
    """A profile of `~/.aws/credentials` and `~/.aws/config`: keys, a role by web identity, or a role by another source.

    Args:
        clock: reads files off the loop.
        environment: `AWS_PROFILE`, `AWS_SHARED_CREDENTIALS_FILE`, `AWS_CONFIG_FILE`.
        sts: assumes roles.
        name: the profile; None: `AWS_PROFILE`, else `default`.
        sources: by the names that `credential_source` uses.
    """

    name = "profile"

    def __init__(
        self,
        clock: Clock,
        environment: Mapping[str, str],
        sts: Sts,
        name: str | None,
        sources: Mapping[str, CredentialSource],
    ) -> None:
        self._clock = clock
        self._environment = environment
        self._sts = sts
        self._asked = name is not None or "AWS_PROFILE" in environment
        self._profile = name or environment.get("AWS_PROFILE") or "default"
        self._sources = {"Environment": Environment(environment), **sources}

    async def fetch(self) -> Credentials | None:
        """The profile's credentials; None when it does not exist and nobody asked for it by name."""
        profiles = await self._clock.work("file", 1, self._read)
        if self._profile not in profiles:
            if self._asked:
                known = ", ".join(sorted(profiles)) or "none"
                raise Failure("authentication", f"no AWS profile {self._profile!r}; there are: {known}")
            return None
        return await self._of(self._profile, profiles, ())

    async def _of(
        self, name: str, profiles: Mapping[str, dict[str, str]], above: tuple[str, ...]
    ) -> Credentials | None:
        if name in above:
            raise Failure("authentication", f"the AWS profiles {', '.join(above)} name each other as source")
        fields = profiles.get(name)
        if fields is None:
            raise Failure("authentication", f"no AWS profile {name!r}, which {above[-1]!r} names as its source")
        role = fields.get("role_arn")
        if role:
            session = fields.get("role_session_name") or f"hapenny-{int(self._clock.wall())}"
            if file := fields.get("web_identity_token_file"):
                return await by_token(self._sts, self._clock, file, role, session)
            by = await self._source(name, fields, profiles, above)
            return await self._sts.role(role, session, by, fields.get("external_id"))
        key, secret = fields.get("aws_access_key_id"), fields.get("aws_secret_access_key")
        if key and secret:
            return Credentials(key, secret, fields.get("aws_session_token") or None)
        if self._asked or above:
            raise Failure("authentication", f"the AWS profile {name!r} holds neither keys nor a role")
        return None

    async def _source(
        self, name: str, fields: Mapping[str, str], profiles: Mapping[str, dict[str, str]], above: tuple[str, ...]
    ) -> Credentials:
        if source := fields.get("source_profile"):
            plain = profiles.get(source, {})
            if source == name and plain.get("aws_access_key_id") and plain.get("aws_secret_access_key"):
                # A profile may name itself: its own keys assume its role.
                return Credentials(
                    plain["aws_access_key_id"], plain["aws_secret_access_key"], plain.get("aws_session_token") or None
                )
            found = await self._of(source, profiles, (*above, name))
        else:
            place = self._sources.get(fields.get("credential_source", ""))
            if place is None:
                known = ", ".join(self._sources)
                raise Failure(
                    "authentication",
                    f"the AWS profile {name!r} has a role but no source for it",
                    fix=f"source_profile, or credential_source of {known}",
                )
            found = await place.fetch()
        if found is None:
            raise Failure("authentication", f"the source of the AWS profile {name!r} has no credentials")
        return found

    def _read(self) -> dict[str, dict[str, str]]:
        env = self._environment
        home = Path(env.get("HOME") or "~").expanduser() / ".aws"
        profiles: dict[str, dict[str, str]] = {}
        for variable, file in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
            path = Path(env[variable]).expanduser() if env.get(variable) else home / file
            parser = configparser.RawConfigParser(default_section="\0", strict=False)
            try:
                parser.read(path, encoding="utf-8")
            except (configparser.Error, UnicodeDecodeError) as error:
                raise Failure("authentication", f"the AWS {file} file is damaged: {type(error).__name__}") from None
            for section in parser.sections():
                name = section.removeprefix("profile ").strip().strip('"') if file == "config" else section
                profiles.setdefault(name, {}).update(parser.items(section))
        return profiles
