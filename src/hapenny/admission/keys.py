"""Keys of ours: who is asking. The tenant comes from here and from nowhere else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from hapenny.core.errors import Failure


class Identity(Struct, frozen=True, kw_only=True):
    """Whom a key belongs to and what it may do."""

    tenant: str = "default"
    key_id: str = ""
    """A short hash of the key, or the id of a stored one; safe to log."""
    routes: tuple[str, ...] = ("*",)
    default_route: str | None = None
    groups: tuple[str, ...] = ()
    models: tuple[str, ...] = ("*",)
    secret: str = ""
    opens: tuple[str, ...] = ("anyone", "caller")
    """Which endpoints its keys open, in the words of the table of routes."""
    priority: int = 0
    """The highest priority its requests may ask for."""
    user: str | None = None
    """The end user that a verified token names."""

    def may_route(self, route: str) -> bool:
        """Whether the key allows `route`."""
        return "*" in self.routes or route in self.routes

    def may_ask(self, model: str) -> bool:
        """Whether the key allows asking for `model`."""
        return "*" in self.models or model in self.models


OPEN = Identity(opens=("anyone", "caller", "metrics"), priority=100)
"""Who asks where no keys are configured."""


class StoredKeys(Protocol):
    """Keys that are kept outside the configuration (`hapenny.admission.registry`)."""

    empty: bool
    """Whether there are none, and never were."""

    def who(self, digest: bytes) -> Identity | None:
        """Whose key has that hash.

        Raises:
            Failure: `authentication`, if it is known and may not be used any more.
        """

    def secret_of(self, access_key: str) -> str | None:
        """The secret that a client with this AWS access key id signs with."""

    def holder(self, key_id: str) -> Identity | None:
        """Who has the key of that id now. Raises as `who`."""


class Keyring:
    """The keys of a deployment; empty means open to everyone who reaches the port.

    Args:
        identities: key -> identity, of the configuration.
        access_keys: AWS access key id -> key, for clients that sign instead of sending a bearer key.
        stored: keys that are kept elsewhere.
        limited: what a tenant's keys may do at most, applied to those of the configuration.
    """

    def __init__(
        self,
        identities: Mapping[str, Identity],
        access_keys: Mapping[str, str] | None = None,
        stored: StoredKeys | None = None,
        limited: Callable[[Identity], Identity] | None = None,
    ) -> None:
        self._by_hash = {digest(key): identity for key, identity in identities.items()}
        self._by_id = {identity.key_id: identity for identity in identities.values()}
        self._access = dict(access_keys or {})
        self._stored = stored
        self._limited = limited

    @property
    def open(self) -> bool:
        """Whether no key is needed."""
        return not self._by_hash and (self._stored is None or self._stored.empty)

    @property
    def digests(self) -> Mapping[bytes, Identity]:
        """The configuration's keys by their hashes."""
        return self._by_hash

    def who(self, key: str | None) -> Identity:
        """Whose key this is.

        Raises:
            Failure: `authentication`, if keys are configured and this is none of them, or one that has ended.
        """
        if self.open:
            return OPEN
        if not key:
            raise Failure("authentication", "no API key was sent", fix="send it as a bearer token or x-api-key")
        # Comparing hashes keeps the time of a look-up apart from the key's characters.
        name = digest(key)
        identity = self._by_hash.get(name)
        if identity is not None:
            return identity if self._limited is None else self._limited(identity)
        identity = self._stored.who(name) if self._stored is not None else None
        if identity is None:
            raise Failure("authentication", "this API key is not known", fix="use a key of this gateway")
        return identity

    def still(self, identity: Identity) -> Identity:
        """What the holder of a key may do now, for work that was handed in earlier.

        Raises:
            Failure: `authentication`, if the key has ended meanwhile.
        """
        if self.open or not identity.key_id:
            return identity
        current = self._by_id.get(identity.key_id)
        if current is not None and self._limited is not None:
            current = self._limited(current)
        if current is None and self._stored is not None:
            current = self._stored.holder(identity.key_id)
        if current is None or current.tenant != identity.tenant:
            raise Failure("authentication", "the key that this was handed in with has ended", retryable=False)
        return current

    def secret_of(self, access_key: str) -> str | None:
        """The secret that a client with this AWS access key id signs with."""
        secret = self._access.get(access_key)
        if secret is None and self._stored is not None:
            secret = self._stored.secret_of(access_key)
        return secret


def key_id(key: str) -> str:
    """A short, safe name of a key."""
    return digest(key)[:6].hex()


def digest(key: str) -> bytes:
    """What is kept of a key: enough to know it again. Keys are long and random, so one round of hashing is enough."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=32, person=b"hapenny-key").digest()
