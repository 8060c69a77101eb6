"""Where a process finds its AWS credentials, in the order of the AWS SDKs."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hapenny.backends.credentials import CredentialChain, CredentialSource, Environment
from hapenny.backends.metadata import Container, InstanceMetadata
from hapenny.backends.pool import Pool
from hapenny.backends.profiles import Profile
from hapenny.backends.sts import Sts, WebIdentity
from hapenny.core.clock import Clock


def chain(
    clock: Clock,
    *,
    profile: str | None = None,
    region: str = "us-east-1",
    environment: Mapping[str, str] | None = None,
) -> CredentialChain:
    """The usual chain of a process; a `profile` named in the configuration goes before the environment."""
    env = os.environ if environment is None else environment
    pool = Pool.control(clock, connect_s=2.0)
    region = env.get("AWS_REGION") or region
    sts = Sts(pool, region, env.get("AWS_ENDPOINT_URL_STS"))
    container, instance = Container(pool, clock, env), InstanceMetadata(pool, clock, env)
    named = Profile(clock, env, sts, region, profile)
    web = WebIdentity(sts, clock, env)
    places: list[CredentialSource] = (
        [named] if profile is not None else [Environment(env), web, named, container, instance]
    )
    return CredentialChain(clock, places, [pool])
