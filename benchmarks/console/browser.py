"""Headless Chromium over its own protocol: opens pages as people do, times them, takes pictures."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import connect

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--remote-debugging-port=0", "--no-proxy-server",
)  # fmt: skip


_KEYS: dict[str, dict[str, Any]] = {
    "Enter": {"text": "\r"},
    "Tab": {"windowsVirtualKeyCode": 9, "code": "Tab"},
}


def found() -> str | None:
    """A Chromium of this machine: `CHROMIUM`, on the PATH, or of Playwright; None where there is none."""
    named = os.environ.get("CHROMIUM", "")
    if named and Path(named).exists():
        return named
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    kept = sorted(Path.home().glob(".cache/ms-playwright/chromium*/chrome-*/*"))
    return next((str(each) for each in reversed(kept) if each.name in ("chrome", "headless_shell")), None)


class Browser:
    """One browser with one tab. A context manager.

    Args:
        path: its program.
    """

    def __init__(self, path: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hapenny-browser-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [path, *_FLAGS, f"--user-data-dir={self._folder.name}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._number = 0
        self.events: list[dict[str, Any]] = []
        try:
            self._socket = connect(self._tab(), max_size=200_000_000, compression=None)
            for domain in ("Page", "Network", "Runtime", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._folder.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol; events that come meanwhile are kept."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            told = json.loads(self._socket.recv(timeout=60))
            if told.get("id") == self._number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']}")
                result: dict[str, Any] = told.get("result", {})
                return result
            self.events.append(told)

    def size(self, width: int, height: int = 900, dark: bool = False) -> None:
        """The window's size, and what the system prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=media)

    def open(self, url: str) -> float:
        """Goes to a page; milliseconds until it was drawn whole, from the browser's own clock."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.settle("Page.loadEventFired")
        timing = "JSON.stringify(performance.getEntriesByType('navigation')[0].toJSON())"
        return float(json.loads(str(self.run(timing)))["loadEventEnd"])

    def settle(self, event: str = "Page.loadEventFired") -> None:
        """Waits for an event, and until the page is complete."""
        limit = time.monotonic() + 60
        while not any(each.get("method") == event for each in self.events):
            if time.monotonic() > limit:
                raise TimeoutError(event)
            self.events.append(json.loads(self._socket.recv(timeout=60)))
        while self.run("document.readyState") != "complete":
            time.sleep(0.005)

    def run(self, script: str) -> Any:
        """The value of a script in the page."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise RuntimeError(told["exceptionDetails"]["exception"].get("description", "the script failed"))
        return told["result"].get("value")

    def keys(self, text: Sequence[str]) -> None:
        """Types keys one after the other."""
        for key in text:
            more = {"text": key, "unmodifiedText": key} if len(key) == 1 else _KEYS.get(key, {})
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **more)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def picture(self, file: Path) -> None:
        """The whole page as PNG."""
        told = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        file.write_bytes(base64.b64decode(told["data"]))

    def problems(self) -> list[str]:
        """What the page complained about: failed requests, errors of scripts, broken policies."""
        said = []
        for each in self.events:
            params = each.get("params", {})
            if each.get("method") == "Runtime.exceptionThrown":
                said.append(str(params["exceptionDetails"].get("text")))
            elif each.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
                said.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        return said

    def hosts(self) -> set[str]:
        """The origins that were asked since the page was opened."""
        urls = (each["params"]["request"]["url"] for each in self.events
                if each.get("method") == "Network.requestWillBeSent")  # fmt: skip
        return {"/".join(url.split("/")[:3]) for url in urls if not url.startswith("data:")}

    def _tab(self) -> str:
        port_file = Path(self._folder.name) / "DevToolsActivePort"
        limit = time.monotonic() + 60
        while not port_file.exists() or not port_file.read_text().strip():
            if self._process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError("the browser does not start")
            time.sleep(0.05)
        port = port_file.read_text().split()[0]
        with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as reply:
            tabs = json.load(reply)
        return str(next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"))
