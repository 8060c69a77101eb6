"""`mangaassist serve`: the shop's assistant on a page; `mangaassist demo`: the same before simulated models.

`demo` on a terminal prints the address and serves until Ctrl-C; elsewhere it fetches the page, asks in three languages,
checks what comes back, and exits 0, or says what is wrong and exits 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from hapenny import Config, ConfigError, Gateway, load
from mangaassist.data_files import QUESTIONS
from mangaassist.front_door import FrontDoor, serve
from mangaassist.gateway_config import gateway_config
from mangaassist.orchestrator import Orchestrator
from mangaassist.sqlite_shop import SqliteShop

_TIERS = {
    "fast": "anthropic.claude-3-haiku-20240307-v1:0",
    "balanced": "anthropic.claude-3-5-haiku-20241022-v1:0",
    "strong": "anthropic.claude-3-sonnet-20240229-v1:0",
    "max": "anthropic.claude-3-opus-20240229-v1:0",
}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="mangaassist", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help in (("demo", "before simulated models"), ("serve", "before the models of a configuration")):
        command = commands.add_parser(name, help=help)
        command.add_argument("--host", default="127.0.0.1")
        command.add_argument("--port", type=int, default=8792)
        command.add_argument("--data", help="the shop's SQLite file; without one it is in memory")
        if name == "serve":
            command.add_argument("-c", "--config", required=True, help="with the routes `scripted` and `chat`")
        else:
            command.add_argument("--check", action="store_true", help="check the page and end, also on a terminal")
    options = parser.parse_args()
    try:
        config = load(options.config) if options.command == "serve" else demo_config()
    except ConfigError as error:
        sys.exit("\n".join(error.problems))
    check = options.command == "demo" and (options.check or not sys.stdout.isatty())
    try:
        sys.exit(asyncio.run(_run(config, options, check)))
    except KeyboardInterrupt:
        sys.exit(0)
    except OSError as error:
        sys.exit(f"{options.host}:{options.port} cannot be served: {error.strerror}. Fix: --port with another number")


def demo_config(ledger: str | None = None) -> Config:
    """Simulated models that know the questions the page suggests. Raises `ConfigError`."""
    backend = {"kind": "simulated", "card": "manga-2024", "truth": str(QUESTIONS)}
    return gateway_config(_TIERS, backend, ledger=ledger, holdout=0.0, unproven="open")


async def _run(config: Config, options: argparse.Namespace, check: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="mangaassist-") as folder:
        if config.ledger is not None and options.command == "demo":
            config.ledger.path = str(Path(folder, "ledger.db"))
        shop = SqliteShop(options.data or ":memory:", datetime.now(UTC).date())
        async with Gateway(config) as gateway:
            assistant = Orchestrator(gateway, shop, desk=shop)
            door = FrontDoor(gateway, shop, assistant, simulated=gateway.only_simulated)
            runner, port = await serve(door, options.host, 0 if check else options.port)
            url = f"http://{options.host}:{port}/"
            try:
                if check:
                    return await _check(url)
                print(f"MangaAssist answers at {url} in English, Japanese and Vietnamese. Ctrl-C ends it.", flush=True)
                await _until_stopped()
                return 0
            finally:
                await runner.cleanup()
                await shop.aclose()


async def _until_stopped() -> None:
    stopped = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        if os.name == "posix":
            asyncio.get_running_loop().add_signal_handler(each, stopped.set)
    await stopped.wait()


async def _check(url: str) -> int:
    """Fetches the page and asks in three languages, by WebSocket and by stream."""
    problems: list[str] = []
    jar = aiohttp.CookieJar(unsafe=True)  # of an address, not of a name
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=30)) as client:
        async with client.get(url) as answer:
            page = await answer.text()
            if answer.status != 200 or "MangaAssist" not in page:
                problems.append(f"the page: {answer.status}")
        for part in ("static/chat.js", "static/style.css"):
            async with client.get(url + part) as answer:
                if answer.status != 200:
                    problems.append(f"{part}: {answer.status}")
        async with client.get(url + "api/shop") as answer:
            suggestions = (await answer.json())["suggestions"]
        paid = saved = asked = 0
        async with client.ws_connect(url.replace("http", "ws") + "ws") as socket:
            for language, questions in suggestions.items():
                for question in questions:
                    await socket.send_json({"type": "message", "text": question, "language": language})
                    done = await _listen(socket, question, problems)
                    asked, paid, saved = asked + 1, paid + done.get("actual", 0), saved + done.get("saved", 0)
        body = {"text": suggestions["en"][0], "language": "en"}
        async with client.post(url + "chat", json=body) as answer:
            events = [json.loads(line[6:]) async for line in answer.content if line.startswith(b"data: ")]
            if not events or events[-1].get("type") != "done" or not events[-1]["text"]:
                problems.append("the stream of events has no answer")
    for problem in problems:
        print(f"MangaAssist: {problem}", file=sys.stderr)
    if problems:
        return 1
    share = saved / (paid + saved) if paid + saved else 0.0
    print(
        f"MangaAssist: the page is there; {asked} questions in {len(suggestions)} languages answered for "
        f"{paid / 1e9:.5f} $, {share:.0%} saved. To talk to it: mangaassist demo"
    )
    return 0


async def _listen(socket: Any, question: str, problems: list[str]) -> dict[str, Any]:
    """The end of an answer."""
    while True:
        piece: dict[str, Any] = await socket.receive_json(timeout=20)
        if piece["type"] == "error":
            problems.append(f"{question}: {piece['message']}")
            return {}
        if piece["type"] == "done":
            if piece["failure"] or not piece["text"]:
                problems.append(f"{question}: no answer ({piece['failure'] or 'empty'})")
            return piece


if __name__ == "__main__":
    main()
