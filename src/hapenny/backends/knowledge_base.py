"""Amazon Bedrock Knowledge Bases as a backend: one signed `Retrieve`, nothing else."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import msgspec

from hapenny.backends.http import ERROR_BYTES
from hapenny.backends.pool import CONTROL_CONNECTIONS, Lease, Pool
from hapenny.backends.signing import Signer
from hapenny.backends.url import origin
from hapenny.core.clock import Clock


class KnowledgeBaseClient:
    """One knowledge base.

    Args:
        id: ten letters and digits.
        region: its own.
        pool: its connections.
        base: URL of the service.
        signer: signs for the region.
    """

    def __init__(self, id: str, region: str, pool: Pool, base: str, signer: Signer) -> None:
        self._path = f"/knowledgebases/{id}/retrieve"
        self._region = region
        self._pool = pool
        self._base = origin(base)
        self._signer = signer

    async def retrieve(self, body: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        """`retrievalResults` of a `Retrieve` request.

        Raises:
            ConnectionError: it did not answer in time, or refused.
        """
        data = msgspec.json.encode(body)
        headers = {"content-type": "application/json", "accept": "application/json"}
        lease: Lease | None = None
        try:
            async with asyncio.timeout(seconds):
                url = self._base.at(self._path)
                signed = await self._signer.signed("POST", url, headers, data, self._region, "bedrock")
                lease = await self._pool.send("POST", url, signed, data)
                if lease.status >= 400:
                    raise ConnectionError(f"the knowledge base refuses: {_kind(lease.status, await _said(lease))}")
                reply = msgspec.json.decode(await lease.whole())
        except (TimeoutError, OSError, msgspec.DecodeError) as error:
            raise ConnectionError(f"the knowledge base does not answer: {error or type(error).__name__}") from None
        finally:
            if lease is not None:
                lease.close()
        results = reply.get("retrievalResults") if isinstance(reply, dict) else None
        return [each for each in results if isinstance(each, dict)] if isinstance(results, list) else []

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._pool.aclose()
        await self._signer.aclose()


async def _said(lease: Lease) -> bytes:
    return bytes(await lease.beginning(ERROR_BYTES))


def _kind(status: int, body: bytes) -> str:
    """The kind of an error; its message may quote the question."""
    try:
        told = msgspec.json.decode(body)
        kind = told.get("__type") or told.get("code") if isinstance(told, dict) else ""
    except msgspec.DecodeError:
        kind = ""
    return f"{status} {str(kind).rpartition('#')[2][:64]}".strip()


def build_knowledge_base(
    name: str, id: str, region: str, clock: Clock, *, base_url: str = "", profile: str = "", connect_s: float = 2.0
) -> KnowledgeBaseClient:
    """The knowledge base behind the collection `name`."""
    from hapenny.backends.credential_chain import chain

    pool = Pool(clock, connections=CONTROL_CONNECTIONS, connect_s=connect_s, name=f"knowledge base {name}")
    base = base_url or os.environ.get("AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME")
    return KnowledgeBaseClient(
        id,
        region,
        pool,
        base or f"https://bedrock-agent-runtime.{region}.amazonaws.com",
        Signer(clock, chain(clock, profile=profile or None, region=region), None),
    )
