"""Who may look at the console where other machines reach it: holders of a key of scope `admin`, who see all tenants, or
of scope `console`, who see their own.

A session lasts `SESSION_S`, and no longer than its key: the key is looked up again every `admission.refresh_s`. More
than `TRIES` wrong keys a minute close the door for that minute, to everybody.
"""

from __future__ import annotations

import asyncio
import threading

from hapenny.admission.keys import Identity
from hapenny.admission.registry import STORE_ERRORS
from hapenny.config import Config
from hapenny.console.desk import Viewer
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.gateway.admitting import build_keyring, open_store

COOKIE = "session"
SESSION_S = 8 * 3_600.0
TRIES = 10
_MOST = 1_000
_OPENING = frozenset({"admin", "console"})
_log = get_logger("hapenny.console")


class Logins:
    """Sessions of the console.

    Args:
        config: whose keys open it.
        clock: the deployment's clock.

    Raises:
        ValueError: no key of either scope exists.
    """

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock = clock
        self._registry = open_store(config, clock)
        self._ring = build_keyring(config, self._registry)
        self._refresh_s = config.admission.refresh_s
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[float, Identity]] = {}
        self._wrong: list[float] = []
        self._looked = float("-inf")
        self._load()
        scopes = {scope for key in config.keys for scope in key.scopes}
        scopes |= {scope for record in self._registry.records() for scope in record.scopes}
        if not scopes & _OPENING:
            raise ValueError(
                "no key of scope admin or console can open it. Fix: hapenny keys create --scope admin, or"
                " --host 127.0.0.1"
            )

    def enter(self, key: str) -> str | None:
        """A new session; None: the key does not open one."""
        with self._lock:
            now = self._clock.now()
            self._wrong = [at for at in self._wrong if now - at < 60.0]
            if len(self._wrong) >= TRIES:
                return None
            self._load()
            try:
                identity = self._ring.who(key)
            except Failure:
                identity = None
            if identity is None or not _OPENING & set(identity.opens):
                self._wrong.append(now)
                return None
            session = self._clock.secret().hex()
            self._sessions[session] = (now + SESSION_S, identity)
            while len(self._sessions) > _MOST:
                del self._sessions[next(iter(self._sessions))]
            return session

    def leave(self, session: str) -> None:
        """Ends a session."""
        with self._lock:
            self._sessions.pop(session, None)

    def known(self, session: str) -> Viewer | None:
        """Who looks, while the session goes on."""
        with self._lock:
            known = self._sessions.get(session)
            if known is None:
                return None
            until, identity = known
            self._load()
            try:
                current = self._ring.still(identity)
            except Failure:
                current = None
            if current is None or not _OPENING & set(current.opens) or self._clock.now() >= until:
                del self._sessions[session]
                return None
            everything = "admin" in current.opens
            return Viewer(tenant=None if everything else current.tenant, admin=everything)

    def _load(self) -> None:
        now = self._clock.now()
        if now - self._looked < self._refresh_s:
            return
        self._looked = now
        try:
            asyncio.run(self._registry.load())
        except STORE_ERRORS as error:
            _log.error("stored keys cannot be read; those known stay", error=error)
