"""Calls of the command line to a gateway that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from hapenny.backends.pool import Pool
from hapenny.backends.url import origin

_WHOLE_S = 300.0


async def ask(
    pool: Pool, target: tuple[str, str], method: str, path: str, body: Any = None
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers (lower-case names) and body of an answer. `target`: the gateway's address and a key, or "".

    Raises:
        Failure: there is no answer, or it broke.
        TimeoutError: it was not there within five minutes.
        ValueError: `target` is no address.
    """
    url, key = target
    headers = {"accept": "application/json"}
    if body is not None:
        headers["content-type"] = "application/json"
    if key:
        headers["authorization"] = f"Bearer {key}"
    async with asyncio.timeout(_WHOLE_S):
        payload = msgspec.json.encode(body) if body is not None else b""
        answer = await pool.send(method, origin(url).at(path), headers, payload)
        return answer.status, answer.headers, await answer.whole()
