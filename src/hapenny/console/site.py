"""The console's own small web server: pages, their style and script, and the few forms that change something.

On this machine alone it knows nobody, and answers only under names that nobody else can own: a page of a site whose
name was turned to this address gets nothing. Where other machines reach it, it asks for a key (`login`).
A form is only taken with the token of the page it came from, so that no other site can act for you. Pages hold no text
of any request but what labels and the playground show.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from html import escape
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from hapenny.admission.own_names import own_name
from hapenny.config import Config
from hapenny.console import render
from hapenny.console.desk import Desk, Viewer
from hapenny.console.labels import Labels
from hapenny.console.live import Live
from hapenny.console.login import COOKIE, Logins
from hapenny.console.pages import Pages, Said
from hapenny.core.clock import Clock
from hapenny.core.log import get_logger

_MOST = 40_000
_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'; img-src data:;"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_FORMS = frozenset({"/labels", "/login", "/logout", "/cache", "/playground", "/whatif"})
_log = get_logger("hapenny.console")


class Console:
    """The pages of a deployment.

    Args:
        config: whose ledger and content store are shown.
        clock: dates labels.
        route: only label this route's answers.
        logins: who may look; None: everybody on this machine.
        live: the running gateway; None: none is known.
        file: of `config`, which replays set against others; None: not known.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        route: str | None = None,
        logins: Logins | None = None,
        live: Live | None = None,
        file: Path | None = None,
    ) -> None:
        self.logins = logins
        self.hosts = {host.lower() for host in config.server.hosts}
        self._token = clock.secret().hex()
        self._desk = Desk(config, clock, live or Live("", "", clock), file)
        self._labels = Labels(config, clock, route, self._token)
        self._desk.people = self._labels.people
        self._pages = Pages(self._desk, self._labels, self._token, logins is not None)
        self._server: ThreadingHTTPServer | None = None

    def listen(self, host: str, port: int) -> int:
        """Binds; returns the port. Pages are loaded first: nobody waits for that with a first visit."""
        self._pages.prepare()
        self._server = _Server((host, port), _handler(self))
        return int(self._server.server_address[1])

    def run(self) -> None:
        """Serves until `stop`."""
        assert self._server is not None, "listen comes first"
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            self._server.server_close()
            self._labels.close()
            self._desk.close()

    def stop(self) -> None:
        """Ends `run`."""
        if self._server is not None:
            self._server.shutdown()

    def show(self, path: str, query: dict[str, str], who: str, viewer: Viewer | None = None) -> tuple[int, str]:
        """Status and page of a GET."""
        return self._pages.show(path, query, who, viewer or Viewer())

    def say(self, path: str, form: dict[str, str], viewer: Viewer | None = None) -> Said:
        """What comes of a form."""
        viewer = viewer or Viewer()
        if not hmac.compare_digest(form.get("token", ""), self._token):
            return self._pages.stale(path, form, viewer)
        return self._pages.say(path, form, viewer)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def _handler(console: Console) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "hapenny", ""
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            where = urlsplit(self.path)
            path = unquote(where.path)
            if path.startswith("/static/"):
                self._static(path.removeprefix("/static/"))
                return
            viewer = self._viewer()
            if viewer is None:
                return
            query = {name: values[-1] for name, values in parse_qs(where.query, keep_blank_values=True).items()}
            who = SimpleCookie(self.headers.get("Cookie", "")).get("who")
            try:
                status, body = console.show(path, query, who.value if who is not None else "", viewer)
            except Exception as error:
                _log.error("a page cannot be made", path=path[:80], error=type(error).__name__)
                status, body = 500, _BROKEN
            self._answer(status, body, query.get("who"))

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length") or ""
            size = int(length) if length.isdecimal() and len(length) < 9 else 0
            if self.path not in _FORMS or not 0 < size <= _MOST:
                self.close_connection = True
                self._answer(404, "")
                return
            text = self.rfile.read(size).decode("utf-8", "replace")
            form = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
            if self.path == "/login":
                self._login(form)
                return
            viewer = self._viewer()
            if viewer is None:
                return
            if self.path == "/logout":
                self._leave(form)
                return
            try:
                said = console.say(self.path, form, viewer)
            except Exception as error:
                _log.error("a form cannot be taken", path=self.path, error=type(error).__name__)
                said = Said(500, _BROKEN)
            self._answer(said.status, said.body)

        def _viewer(self) -> Viewer | None:
            """Who asks, where they may look; tells them what to do where not."""
            host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
            foreign = origin is not None and origin.partition("://")[2].lower() != host.lower()
            if console.logins is None:
                if own_name(host, console.hosts) and not foreign:
                    return Viewer()
                self._answer(403, _REFUSED)
                return None
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
            viewer = console.logins.known(cookie.value) if cookie is not None and not foreign else None
            if viewer is None:
                self._answer(401, render.page("login.html", problem=""))
            return viewer

        def _login(self, form: dict[str, str]) -> None:
            session = console.logins.enter(form.get("key", "")) if console.logins is not None else None
            if session is None:
                self._answer(401, render.page("login.html", problem="This key does not open the console."))
                return
            self._redirect("/", f"{COOKIE}={session}; SameSite=Strict; HttpOnly; Path=/")

        def _leave(self, form: dict[str, str]) -> None:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
            if console.logins is not None and cookie is not None:
                console.logins.leave(cookie.value)
            self._redirect("/", f"{COOKIE}=; Max-Age=0; SameSite=Strict; HttpOnly; Path=/")

        def _redirect(self, place: str, cookie: str) -> None:
            self.send_response(303)
            self.send_header("Location", place)
            self.send_header("Set-Cookie", cookie)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _static(self, name: str) -> None:
            try:
                data = render.static(name)
            except KeyError:
                self._answer(404, "")
                return
            self.send_response(200)
            self.send_header("Content-Type", render.STATIC[name])
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-cache")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(data)

        def _answer(self, status: int, body: str, who: str | None = None) -> None:
            data = b"" if status == 303 else body.encode("utf-8", "replace")
            self.send_response(status)
            if status == 303:
                self.send_header("Location", body)
            if who:
                self.send_header("Set-Cookie", f"who={quote(who[:40])}; SameSite=Strict; HttpOnly; Path=/")
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Frame-Options", "DENY")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Referrer-Policy", "same-origin")
            self.send_header("Content-Security-Policy", _POLICY)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: paths name people."""

    return Handler


def _plain(text: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>hapenny console</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<link rel="stylesheet" href="/static/console.css"></head><body><div class="login"><section>'
        f"<p>{escape(text)}</p></section></div></body></html>"
    )


_REFUSED = _plain("The console answers under names of this machine alone. Others: server.hosts.")
_BROKEN = _plain(
    "This page cannot be made: the reason stands in the console's log. The other pages go on; a damaged ledger is"
    " restored from a copy."
)
