"""Connections to providers as they are set and as they fare, against what chat in front of a foundation model wants:
10 to 20 connections in a pool, 5 s to connect, 60 s to read, 3 tries, a lifetime of 60 to 300 s; connections kept,
names remembered, TLS sessions resumed, the region near, one call for many texts.

Each check says what holds now, what is wanted, and what to do where they differ. A value that differs with reason is
justified by what was measured (`measured`), not by opinion.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from hapenny.backends.kind import BackendOptions, HttpOptions
from hapenny.backends.pool import CONTROL_CONNECTIONS, MODEL_CONNECTIONS
from hapenny.backends.url import origin
from hapenny.config import Config
from hapenny.core.clock import Clock
from hapenny.telemetry.rolled_figures import Called
from hapenny.throughput.options import THROUGHPUT_STAGE

FAR_S = 0.03
"""Seconds to connect from which another region may be nearer."""
KEPT_SHARE = 0.9
"""Requests on kept connections, of all: below it connections are opened too often."""
_HOMES = {
    "bedrock": "https://bedrock-runtime.{region}.amazonaws.com",
    "bedrock-openai": "https://bedrock-runtime.{region}.amazonaws.com",
    "sagemaker": "https://runtime.sagemaker.{region}.amazonaws.com",
    "openai": "https://api.openai.com",
    "anthropic": "https://api.anthropic.com",
}
State = Literal["good", "differs", "bad", "unknown"]


class Check(Struct, kw_only=True):
    """One thing: what it is now, what is wanted, how it stands, what was measured, what to do."""

    name: str
    now: str
    wanted: str
    state: State
    measured: str = ""
    fix: str = ""


class Probe(Struct, kw_only=True):
    """Seconds that opening connections to a host took: name (first and again), TCP, TLS (first and again), whether the
    second handshake resumed the first's session, and whether the address is of a private network."""

    host: str
    name_s: float
    name_again_s: float
    connect_s: float
    tls_s: float | None
    tls_again_s: float | None
    resumed: bool | None
    private: bool


def settings(config: Config, concurrency: float) -> list[Check]:
    """What is configured, provider by provider.

    Args:
        config: of the deployment.
        concurrency: calls under way at once at the busiest, as measured; 0: not measured.
    """
    checks = []
    for name, options in config.backends.items():
        if not isinstance(options, HttpOptions):
            continue
        at = f"backends.{name}"
        limit = options.connections
        need = max(1, round(concurrency))
        measured = f"{concurrency:.1f} calls at once at the busiest" if concurrency else "no traffic yet"
        if limit is not None and 10 <= limit <= 20:
            state: State = "bad" if need > limit else "good"
            fix = f"{at}.connections: {need}" if state == "bad" else ""
        elif limit is None:
            state, fix = "differs", ""
            measured += f"; none waits, and no more than needed are opened (at most {MODEL_CONNECTIONS})"
        else:
            state = "bad" if need > limit else "differs"
            fix = f"{at}.connections: {max(need, 20)}, or leave it out" if state == "bad" else ""
        now = "as many as calls" if limit is None else str(limit)
        checks.append(Check(name=f"{at}.connections", now=now, wanted="10-20, or as many as calls", state=state,
                            measured=measured, fix=fix))  # fmt: skip
        checks += [
            _within(f"{at}.connect_s", options.connect_s, 0.0, 5.0, "5 s", "longer only delays the next endpoint"),
            _within(f"{at}.idle_s", options.idle_s, 30.0, 60.0, "60 s", "silence longer than that is a lost stream"),
            _within(f"{at}.lifetime_s", options.lifetime_s, 60.0, 300.0, "60-300 s", "names change behind connections"),
        ]
    tries = config.stages[THROUGHPUT_STAGE].retry.tries
    checks.append(Check(
        name="stages.throughput.retry.tries", now=str(tries), wanted="3", state="good" if tries == 3 else "differs",
        measured="attempts in all; a budget keeps retries a tenth of requests",
        fix="" if tries == 3 else "stages: {throughput: {retry: {tries: 3}}}",
    ))  # fmt: skip
    checks.append(Check(
        name="control and store pools", now=str(CONTROL_CONNECTIONS), wanted="10-20", state="good",
        measured="credentials, webhooks, stores",
    ))  # fmt: skip
    return checks


def _within(name: str, value: float, low: float, high: float, wanted: str, why: str) -> Check:
    good = low <= value <= high
    fix = "" if good else f"{name}: {high:g} ({why})"
    return Check(name=name, now=f"{value:g} s", wanted=wanted, state="good" if good else "differs", fix=fix)


def pools(told: Mapping[str, Mapping[str, Any]]) -> list[Check]:
    """How the pools of a running gateway fare, by `GET /v1/throughput`."""
    checks = []
    for name, pool in told.items():
        opened, reused = int(pool["opened"]), int(pool["reused"])
        sent = opened + reused
        if not sent:
            checks.append(Check(name=f"{name}: reuse", now="no calls yet", wanted="most calls on kept connections",
                                state="unknown"))  # fmt: skip
            continue
        kept = reused / sent
        few = sent < 20
        checks.append(Check(
            name=f"{name}: reuse", now=f"{kept:.0%} of {sent:,} calls on kept connections",
            wanted=f"{KEPT_SHARE:.0%}", state="good" if kept >= KEPT_SHARE else "unknown" if few else "bad",
            measured=f"an opening took {1e3 * (pool['name_s'] + pool['connect_s'] + pool['tls_s']):.0f} ms on average",
            fix="" if kept >= KEPT_SHARE or few else
            f"backends.{name}.lifetime_s nearer 300; does a proxy in between close connections?",
        ))  # fmt: skip
        queued = int(pool["queued"])
        checks.append(Check(
            name=f"{name}: waits for a connection", now=f"{queued:,}", wanted="0",
            state="good" if not queued else "bad", fix="" if not queued else f"backends.{name}.connections: higher",
        ))  # fmt: skip
    return checks


def calls(made: Sequence[Called], requests: int, prompt_p95: int) -> list[Check]:
    """What goes over the wire: batched embedding, and how large prompts are."""
    checks = []
    embeds = sum(call.calls for call in made if call.purpose == "embed")
    serving = sum(call.calls for call in made if call.purpose == "serve")
    if embeds:
        each = embeds / max(1, requests)
        checks.append(Check(
            name="embedding calls a request", now=f"{each:.2f}", wanted="at most 1: gathered and shared",
            state="good" if each <= 1.05 else "bad", measured=f"{embeds:,} calls for {requests:,} requests",
            fix="" if each <= 1.05 else "a local embedder (hapenny setup local), or one for cache and retrieval",
        ))  # fmt: skip
    tries = sum(call.calls for call in made if call.purpose in ("serve", "retry", "hedge", "escalate"))
    if serving:
        each = tries / serving
        checks.append(Check(
            name="attempts an answer", now=f"{each:.2f}", wanted="near 1", state="good" if each <= 1.1 else "bad",
            measured=f"{tries:,} attempts for {serving:,} first ones",
            fix="" if each <= 1.1 else "more quota or another region: hapenny doctor --url says what holds calls back",
        ))  # fmt: skip
    if prompt_p95:
        large = prompt_p95 > 8_000
        checks.append(Check(
            name="prompt size, p95", now=f"{prompt_p95:,} tokens", wanted="what the answer needs",
            state="differs" if large else "good", measured=f"about {prompt_p95 * 4 / 1_000:,.0f} KB a request;"
            " providers take no compressed bodies, so fewer tokens are the only compression",
            fix="stages.prune, stages.window, a prompt cache: hapenny tokens explain" if large else "",
        ))  # fmt: skip
    return checks


def hosts(config: Config) -> dict[str, str]:
    """Where each provider behind HTTP is asked: backend -> base URL."""
    return {
        name: options.base_url or _HOMES[options.kind].format(region=options.region)
        for name, options in config.backends.items()
        if isinstance(options, HttpOptions) and (options.base_url or options.kind in _HOMES)
    }


def probe(url: str, clock: Clock, limit_s: float = 5.0, trust: ssl.SSLContext | None = None) -> Probe:
    """Opens connections to a provider and times the steps; nothing is asked of it. Blocking. Raises `OSError`."""
    place = origin(url)

    def named() -> tuple[float, Any]:
        began = clock.now()
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0]
        return clock.now() - began, found

    name_s, found = named()
    again, _ = named()
    family, kind, protocol, _, address = found
    context = (trust or ssl.create_default_context()) if place.secure else None
    connect: list[float] = []
    secured: list[float] = []
    session: ssl.SSLSession | None = None
    resumed: bool | None = None
    for _ in range(2):
        began = clock.now()
        with socket.socket(family, kind, protocol) as plain:
            plain.settimeout(limit_s)
            plain.connect(address)
            connect.append(clock.now() - began)
            if context is None:
                continue
            began = clock.now()
            with context.wrap_socket(plain, server_hostname=place.host, session=session) as tls:
                secured.append(clock.now() - began)
                resumed = tls.session_reused if session is not None else None
                tls.settimeout(0.2)
                with contextlib.suppress(OSError):
                    tls.read(1)  # a ticket of TLS 1.3 comes behind the handshake
                session = tls.session
    return Probe(
        host=place.host, name_s=name_s, name_again_s=again, connect_s=min(connect),
        tls_s=secured[0] if secured else None, tls_again_s=secured[1] if len(secured) > 1 else None, resumed=resumed,
        private=ipaddress.ip_address(address[0]).is_private,
    )  # fmt: skip


def probed(name: str, seen: Probe, environment: Mapping[str, str] | None = None) -> list[Check]:
    """What a probe says of names, distance, TLS and the way there."""
    env = os.environ if environment is None else environment
    slow = seen.name_again_s > 0.005
    checks = [
        Check(
            name=f"{name}: names", now=f"{1e3 * seen.name_s:.1f} ms, again {1e3 * seen.name_again_s:.1f} ms",
            wanted="under 5 ms the second time", state="differs" if slow else "good",
            measured="hapenny remembers a name for 30 s, so that only new connections pay",
            fix="a resolver that remembers on this machine (systemd-resolved, node-local DNS)" if slow else "",
        ),
        Check(
            name=f"{name}: distance", now=f"{1e3 * seen.connect_s:.1f} ms to connect", wanted=f"{1e3 * FAR_S:.0f} ms",
            state="good" if seen.connect_s <= FAR_S else "bad",
            fix="" if seen.connect_s <= FAR_S else f"serve nearer to {seen.host}, or ask a nearer region"
            f" (backends.{name}.region, stages.throughput.models.NAME.regions)",
        ),
    ]  # fmt: skip
    if seen.tls_s is not None and seen.tls_again_s is not None:
        checks.append(Check(
            name=f"{name}: TLS", now=f"{1e3 * seen.tls_s:.1f} ms, again {1e3 * seen.tls_again_s:.1f} ms"
            + (", resumed" if seen.resumed else ""), wanted="sessions resumed",
            state="good" if seen.resumed else "differs",
            measured="a kept connection pays neither",
            fix="" if seen.resumed else "the server gives no session to resume: keep connections (lifetime_s: 300)",
        ))  # fmt: skip
    on_aws = any(
        env.get(each) for each in ("AWS_EXECUTION_ENV", "ECS_CONTAINER_METADATA_URI_V4", "AWS_LAMBDA_RUNTIME_API")
    )
    if seen.host.endswith(".amazonaws.com"):
        state: State = "good" if seen.private else "bad" if on_aws else "unknown"
        checks.append(Check(
            name=f"{name}: VPC endpoint", now="private address" if seen.private else "public address",
            wanted="a private one, inside AWS", state=state,
            fix="an interface endpoint com.amazonaws.REGION.bedrock-runtime in the VPC" if state == "bad" else "",
        ))  # fmt: skip
    return checks


def unprobed(config: Config) -> list[str]:
    """Backends that have no connection to look at: they are in this process."""
    return [name for name, options in config.backends.items() if isinstance(options, BackendOptions)
            and not isinstance(options, HttpOptions)]  # fmt: skip
