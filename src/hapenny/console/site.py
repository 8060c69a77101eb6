"""The console's own small web server: GET pages, and the one POST that says a label.

On this machine alone it knows nobody, and answers only under names that nobody else can own: a page of a site whose
name was turned to this address gets nothing. Where other machines reach it, it asks for a key of scope `admin`
(`hapenny.console.login`). A form is only taken with the token of the page it came from, so that no other site can label
for you.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable
from html import escape
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

from hapenny.config import Config
from hapenny.console import pages
from hapenny.console.judging import agreed
from hapenny.console.login import COOKIE, Logins
from hapenny.console.queue import Queue
from hapenny.core.clock import Clock
from hapenny.server.perimeter import own_name
from hapenny.telemetry.summary import Scope, Summary, summarise

_MOST = 10_000


class Console:
    """The pages of a deployment.

    Args:
        config: whose ledger and content store are shown.
        clock: dates labels.
        route: only label this route's answers.
        logins: who may look; None: everybody on this machine.
    """

    def __init__(self, config: Config, clock: Clock, route: str | None = None, logins: Logins | None = None) -> None:
        self.logins = logins
        self.hosts = {host.lower() for host in config.server.hosts}
        self._config, self._clock, self._route = config, clock, route
        self._token = clock.secret().hex()
        self._lock = threading.Lock()
        self._queue: Queue | None = None
        self._skipped: dict[str, set[str]] = {}
        self._server: ThreadingHTTPServer | None = None

    def listen(self, host: str, port: int) -> int:
        """Binds; returns the port."""
        self._server = ThreadingHTTPServer((host, port), _handler(self))
        return int(self._server.server_address[1])

    def run(self) -> None:
        """Serves until `stop`."""
        assert self._server is not None, "listen comes first"
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            self._server.server_close()
            if self._queue is not None:
                self._queue.close()

    def stop(self) -> None:
        """Ends `run`."""
        if self._server is not None:
            self._server.shutdown()

    def show(self, path: str, query: dict[str, str], who: str) -> tuple[int, str]:
        """Status and page of a GET."""
        with self._lock:
            if path == "/":
                return 200, self._overview()
            if path == "/labels":
                return 200, self._labels(query.get("who", who))
        return 404, pages.frame("hapenny console", "<section><p>There is no such page.</p></section>", path)

    def say(self, form: dict[str, str]) -> tuple[int, str]:
        """Status and page (or, with 303, where to go) of a label."""
        who, said, id = form.get("who", ""), form.get("said", ""), form.get("id", "")
        if not hmac.compare_digest(form.get("token", ""), self._token):
            return 403, self._labels(who, "This form is from another session of the console. Here is a fresh one.")
        with self._lock:
            if said == "skip":
                self._skipped.setdefault(who, set()).add(id)
                return 303, "/labels"
            try:
                self._opened().say(id, said, who)
            except (ValueError, ImportError) as error:
                return 400, self._labels(who, str(error))
            return 303, "/labels"

    def _opened(self) -> Queue:
        if self._queue is None:
            self._queue = Queue(self._config, self._clock, self._route)
        return self._queue

    def _labels(self, who: str, problem: str = "") -> str:
        try:
            queue = self._opened()
            item = queue.next(who, frozenset(self._skipped.get(who, ())))
            if item is None and who:
                queue.refresh()
                item = queue.next(who, frozenset(self._skipped.get(who, ())))
        except (ValueError, ImportError) as error:
            return pages.frame(
                "hapenny labels", f'<section><p class="problem">{escape(str(error))}</p></section>', "/labels"
            )
        done, total = queue.counts(who)
        return pages.labelling(item, who, self._token, done, total, problem)

    def _overview(self) -> str:
        ledger = self._config.ledger
        summary: Summary | None = None
        if ledger is not None:
            try:
                summary = summarise(ledger.path, Scope())
            except FileNotFoundError:
                summary = None
        try:
            queue = self._opened()
        except (ValueError, ImportError):
            return pages.overview(summary, None, 0)
        labelled = list(queue.labelled())
        return pages.overview(summary, agreed(labelled), len(labelled))


def _handler(console: Console) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "hapenny", ""

        def do_GET(self) -> None:
            where = urlsplit(self.path)
            if not self._known():
                return
            query = {name: values[-1] for name, values in parse_qs(where.query).items()}
            who = SimpleCookie(self.headers.get("Cookie", "")).get("who")
            status, body = console.show(where.path, query, who.value if who is not None else "")
            self._answer(status, body, query.get("who"))

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length") or ""
            size = int(length) if length.isdecimal() and len(length) < 9 else 0
            if self.path not in ("/labels", "/login") or not 0 < size <= _MOST:
                self._answer(404, "")
                return
            text = self.rfile.read(size).decode("utf-8", "replace")
            form = {name: values[-1] for name, values in parse_qs(text).items()}
            if self.path == "/login":
                self._login(form)
                return
            if not self._known():
                return
            status, body = console.say(form)
            self._answer(status, body)

        def _known(self) -> bool:
            """Whether whoever asks may look; tells them what to do where not."""
            host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
            if console.logins is None:
                foreign = origin is not None and origin.partition("://")[2].lower() != host.lower()
                if own_name(host, console.hosts) and not foreign:
                    return True
                self._answer(403, pages.refused())
                return False
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
            if cookie is not None and console.logins.known(cookie.value):
                return True
            self._answer(401, pages.login())
            return False

        def _login(self, form: dict[str, str]) -> None:
            session = console.logins.enter(form.get("key", "")) if console.logins is not None else None
            if session is None:
                self._answer(401, pages.login("This key does not open the console."))
                return
            self.send_response(303)
            self.send_header("Location", "/")
            self.send_header("Set-Cookie", f"{COOKIE}={session}; SameSite=Strict; HttpOnly; Path=/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _answer(self, status: int, body: str, who: str | None = None) -> None:
            data = b"" if status == 303 else body.encode()
            self.send_response(status)
            if status == 303:
                self.send_header("Location", body)
            if who:
                self.send_header("Set-Cookie", f"who={quote(who[:40])}; SameSite=Strict; HttpOnly; Path=/")
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Frame-Options", "DENY")
            self.send_header(
                "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"
            )
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: paths name people."""

    return Handler
