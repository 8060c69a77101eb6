"""What the planner foretells of own servers, against the same servers behind sockets in real time.

The planner runs the busiest stretch of the trace through simulated servers in virtual time. Here the same requests go
over HTTP to a process whose servers do the same steps in real time; requests go to the server with the fewest inside.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.scaling.policies import CARD
from hapenny.capacity.servers import busiest, least, ttft_p95
from hapenny.core.clock import RealClock
from hapenny.simulation.fleet_server import Server
from hapenny.simulation.workload.trace import Arrival, from_csv, from_zero

REQUESTS = 500
TTFT_S = 2.0


async def _serve(count: int, ready: Connection) -> None:
    clock = RealClock()
    fleet = [Server(clock, CARD) for _ in range(count)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        asked = json.loads(await reader.readexactly(size))
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        server = min(fleet, key=lambda each: each.inside)
        await server.call(asked["input"], asked["output"], asked["output"], on_begin=lambda: writer.write(b"first\n"))
        writer.write(b"last\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    ready.send(listening.sockets[0].getsockname()[1])
    async with listening:
        await listening.serve_forever()


def _process(count: int, ready: Connection) -> None:
    asyncio.run(_serve(count, ready))


async def _drive(port: int, rows: list[Arrival]) -> list[float]:
    clock = RealClock()
    start = clock.now()

    async def one(row: Arrival) -> float:
        await clock.sleep(max(0.0, start + row.at - clock.now()))
        began = clock.now()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({"input": row.input, "output": row.output}).encode()
        writer.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        while await reader.readline() != b"first\n":
            pass
        seconds = clock.now() - began
        await reader.read()
        writer.close()
        return seconds

    return list(await asyncio.gather(*(one(row) for row in rows)))


def compare(path: Path) -> dict[str, float]:
    """The planner's time to first token for the servers it proposes, and what they show over sockets."""
    rows = from_zero(busiest(from_csv(path), REQUESTS))
    held = least(rows, TTFT_S, CARD)
    predicted = ttft_p95(rows, held.servers, CARD)
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_process, args=(held.servers, there), daemon=True)
    process.start()
    try:
        shown = float(np.percentile(asyncio.run(_drive(here.recv(), rows)), 95))
    finally:
        process.terminate()
        process.join(10)
    return {
        "p95_ttft_error": round(abs(predicted / shown - 1), 4),
        "p95_ttft_predicted_s": round(predicted, 3),
        "p95_ttft_shown_s": round(shown, 3),
        "servers": held.servers,
    }
