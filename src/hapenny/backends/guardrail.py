"""Guardrails of a provider as backends: one paid call, nothing else."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from hapenny.backends.credentials import Signing, for_call
from hapenny.backends.http import ERROR_BYTES
from hapenny.backends.pool import CONTROL_CONNECTIONS, Lease, Pool
from hapenny.backends.url import origin
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.exchange import Target
from hapenny.core.guardrails import GuardRequest, Verdict
from hapenny.protocols.guardrails import ApplyGuardrail, GuardCodec, GuardrailChecks
from hapenny.protocols.sigv4 import sign

MODEL = "amazon.bedrock-guardrails"
"""What the books call it: the card that its text units are priced by."""


class GuardClient:
    """One guardrail.

    Args:
        target: as the books know it.
        pool: its connections.
        clock: the deployment's clock; its wall time signs.
        codec: the dialect.
        base: URL of the service.
        credentials: sign for the target's region.
    """

    def __init__(
        self, target: Target, pool: Pool, clock: Clock, codec: GuardCodec, base: str, credentials: Signing
    ) -> None:
        self.target = target
        self._pool = pool
        self._clock = clock
        self._codec = codec
        self._base = origin(base)
        self._credentials = credentials

    def estimated(self, asked: GuardRequest) -> Tokens:
        """What may be billed for it."""
        return self._codec.estimated(asked)

    async def judge(self, asked: GuardRequest, until: float) -> Verdict:
        """What it says by `until` (`clock.now()` seconds).

        Raises:
            Failure: what the provider said, or `timeout`.
        """
        wire = self._codec.encode(asked)
        lease: Lease | None = None
        try:
            async with asyncio.timeout(max(0.0, until - self._clock.now())):
                url = self._base.at(wire.path)
                added = sign(
                    "POST",
                    url.origin.authority,
                    url.path,
                    wire.headers,
                    wire.body,
                    credentials=await for_call(self._credentials),
                    region=self.target.region,
                    now=self._clock.wall(),
                )
                lease = await self._pool.send("POST", url, {**wire.headers, **added}, wire.body)
                if lease.status >= 400:
                    raise self._codec.decode_error(lease.status, lease.headers, await lease.beginning(ERROR_BYTES))
                return self._codec.decode(await lease.whole(), asked)
        except TimeoutError:
            raise Failure("timeout", "the guardrail did not answer in time") from None
        finally:
            if lease is not None:
                lease.close()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._pool.aclose()
        await self._credentials.aclose()


def build_guard(name: str, options: Any, clock: Clock) -> GuardClient:
    """The guardrail `name` as configured."""
    from hapenny.backends.credential_chain import chain

    pool = Pool(clock, connections=CONTROL_CONNECTIONS, connect_s=options.connect_s, name=f"guardrail {name}")
    base = options.base_url or os.environ.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
    codec: GuardCodec
    if options.kind == "apply":
        codec = ApplyGuardrail(options.guardrail, options.version)
    else:
        codec = GuardrailChecks(
            content=options.content,
            prompt_attack=options.prompt_attack,
            sensitive=options.sensitive,
            severity=options.severity,
        )
    return GuardClient(
        Target(MODEL, name, options.region),
        pool,
        clock,
        codec,
        base or f"https://bedrock-runtime.{options.region}.amazonaws.com",
        chain(clock, profile=options.profile, region=options.region),
    )
