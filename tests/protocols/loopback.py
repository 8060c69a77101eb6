"""A real HTTP server on a thread, for clients that are not ours: it keeps requests and answers what it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hapenny.protocols import codec
from tests.protocols import samples

Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Seen:
    """One request as it came over the wire, header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Loopback:
    """The server: `reply` decides what each request gets."""

    url: str
    reply: Callable[[Seen], Reply]
    seen: list[Seen] = field(default_factory=list)


@contextmanager
def loopback() -> Iterator[Loopback]:
    state = Loopback("", lambda _: (500, {}, b""))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            seen = Seen(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            state.seen.append(seen)
            status, headers, answer = state.reply(seen)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answers(server, name, events):
    """Makes the server answer with `events`, streamed or whole as the request asks."""
    server.seen.clear()
    talk = codec(name)

    def reply(seen):
        path = seen.path
        stream = None if name in ("openai", "responses", "anthropic") else "stream" in path.rsplit("/", 1)[1]
        model = None if stream is None else "anthropic.m"
        request = talk.decode_request(seen.body, model=model, stream=stream, headers=seen.headers)
        server.request = request
        if not request.stream:
            completion = samples.collected(events)
            return 200, talk.answer_headers(completion, request), talk.encode_answer(completion, request)
        encoder = talk.encoder(request)
        body = b"".join([encoder.encode(events[:3]), encoder.ping(), encoder.encode(events[3:])])
        body += encoder.note({"saved": "0.1"}) + encoder.end()
        return 200, {"content-type": encoder.content_type}, body

    server.reply = reply


def fails(server, name, failure):
    server.reply = lambda _: codec(name).encode_error(failure, "req_1")
