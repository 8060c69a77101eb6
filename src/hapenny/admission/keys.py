"""Keys of ours: who is asking. The tenant comes from here and from nowhere else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from msgspec import Struct

from hapenny.core.errors import Failure


class Identity(Struct, frozen=True, kw_only=True):
    """Whom a key belongs to and what it may do."""

    tenant: str = "default"
    key_id: str = ""
    """A short hash of the key, safe to log."""
    routes: tuple[str, ...] = ("*",)
    default_route: str | None = None
    groups: tuple[str, ...] = ()
    models: tuple[str, ...] = ("*",)
    secret: str = ""
    opens: tuple[str, ...] = ("anyone", "caller")
    """Which endpoints its keys open, in the words of the table of routes."""
    priority: int = 0
    """The highest priority its requests may ask for."""

    def may_route(self, route: str) -> bool:
        """Whether the key allows `route`."""
        return "*" in self.routes or route in self.routes

    def may_ask(self, model: str) -> bool:
        """Whether the key allows asking for `model`."""
        return "*" in self.models or model in self.models


OPEN = Identity(opens=("anyone", "caller", "metrics"), priority=100)
"""Who asks where no keys are configured."""


class Keyring:
    """The keys of a deployment; empty means open to everyone who reaches the port.

    Args:
        identities: key -> identity.
        access_keys: AWS access key id -> key, for clients that sign instead of sending a bearer key.
    """

    def __init__(self, identities: Mapping[str, Identity], access_keys: Mapping[str, str] | None = None) -> None:
        self._by_hash = {_hash(key): identity for key, identity in identities.items()}
        self._access = dict(access_keys or {})

    @property
    def open(self) -> bool:
        """Whether no key is needed."""
        return not self._by_hash

    def who(self, key: str | None) -> Identity:
        """Whose key this is.

        Raises:
            Failure: `authentication`, if keys are configured and this is none of them.
        """
        if not self._by_hash:
            return OPEN
        if not key:
            raise Failure("authentication", "no API key was sent", fix="send it as a bearer token or x-api-key")
        # Comparing hashes keeps the time of a look-up apart from the key's characters.
        identity = self._by_hash.get(_hash(key))
        if identity is None:
            raise Failure("authentication", "this API key is not known", fix="use a key of this gateway")
        return identity

    def secret_of(self, access_key: str) -> str | None:
        """The secret that a client with this AWS access key id signs with."""
        return self._access.get(access_key)


def key_id(key: str) -> str:
    """A short, safe name of a key."""
    return _hash(key)[:6].hex()


def _hash(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=32, person=b"hapenny-key").digest()
