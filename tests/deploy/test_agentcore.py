"""The agent for AgentCore: its contract, and what its cached instructions save on the simulator."""

import asyncio
import importlib.util
import json
import threading
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from hapenny.config import load
from tests.server.house import running

AGENT = Path(__file__).parents[2] / "examples" / "agentcore" / "agent.py"
CONFIG = """
ledger: null
auth: open
backends: {simulated: {kind: simulated, card: current-2026}}
routes: {default: {holdout: 0}}
"""


@pytest.fixture
def agent():
    spec = importlib.util.spec_from_file_location("agent", AGENT)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.mark.long
async def test_twenty_steps_read_their_instructions_from_the_providers_cache(agent, monkeypatch):
    async with running(load(text=CONFIG)) as (url, _):
        monkeypatch.setenv("HAPENNY_URL", url)
        done = await asyncio.to_thread(agent.run, "From Dublin to Lisbon by train.")
    assert done["steps"] == agent.STEPS
    # The instructions are most of each step, and are paid for in full once.
    assert done["saved_usd"] > 0.3 * (done["saved_usd"] + done["cost_usd"])


async def test_it_speaks_the_contract_of_the_runtime(agent, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), agent.Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_address[1]}"
    whole = agent.run
    monkeypatch.setattr(agent, "run", lambda task: whole(task, steps=1))

    def asked(path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        try:
            with urllib.request.urlopen(urllib.request.Request(here + path, data=data), timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    try:
        async with running(load(text=CONFIG)) as (url, _):
            monkeypatch.setenv("HAPENNY_URL", url)
            monkeypatch.setattr(
                agent, "run", lambda task: {"answer": agent.step([{"role": "user", "content": task}])[0]}
            )
            assert await asyncio.to_thread(asked, "/ping") == (200, {"status": "Healthy"})
            status, body = await asyncio.to_thread(asked, "/invocations", {"prompt": "hello"})
            assert (status, bool(body["answer"])) == (200, True)
            assert (await asyncio.to_thread(asked, "/invocations", {"question": "hello"}))[0] == 400
        assert (await asyncio.to_thread(asked, "/invocations", {"prompt": "hello"}))[0] == 502
    finally:
        server.shutdown()
        server.server_close()
