"""Keys and tenants as they are kept: hashes of secrets, never the secrets, except those that must be readable.

A client that signs (SigV4) never sends its secret, so whoever verifies the signature needs the secret itself. Secrets
of such pairs are therefore encrypted (AES-256-GCM) under `admission.sealing_key`, and not made at all without one.
"""

from __future__ import annotations

import base64
import os
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from hapenny.admission.options import BudgetOptions, TenantOptions
from hapenny.core.clock import Clock

Scope: TypeAlias = Literal["call", "metrics", "admin", "console"]
OPENS: dict[Scope, str] = {"call": "caller", "metrics": "metrics", "admin": "admin", "console": "console"}
"""What a key's scope is called in the table of routes."""
PREFIX = "hk-"
AWS_PREFIX = "HKIA"
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class Secret(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One secret of a key: while it is rotated a key has two."""

    hash: str
    """Hex."""
    until: float | None = None
    """Epoch seconds after which it is not taken any more."""
    access_key: str = ""
    """The AWS access key id whose secret it is."""
    sealed: str = ""
    """The secret of such a pair, encrypted."""


class KeyRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key as it is kept. Times are epoch seconds."""

    id: str
    tenant: str = "default"
    name: str = ""
    """For people."""
    secrets: tuple[Secret, ...] = ()
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None
    routes: tuple[str, ...] = ("*",)
    default_route: str | None = None
    groups: tuple[str, ...] = ()
    models: tuple[str, ...] = ("*",)
    scopes: tuple[Scope, ...] = ("call",)
    priority: int = 0
    budgets: tuple[BudgetOptions, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def state(self, now: float) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked is not None and self.revoked <= now:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"

    def shown(self, now: float) -> dict[str, Any]:
        """What may be shown of it: nothing of its secrets but the access key ids."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__ if name != "secrets"}
        pairs = [each.access_key for each in self.secrets if each.access_key]
        return {**fields, "state": self.state(now), **({"access_keys": pairs} if pairs else {})}


class NewKey(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a new key is to be. `expires_in`: seconds."""

    tenant: str = "default"
    name: str = ""
    expires_in: float | None = None
    aws: bool = False
    """Also an AWS access key id, so that AWS clients can sign with it."""
    routes: tuple[str, ...] = ("*",)
    default_route: str | None = None
    groups: tuple[str, ...] = ()
    models: tuple[str, ...] = ("*",)
    scopes: tuple[Scope, ...] = ("call",)
    priority: int = 0
    budgets: tuple[BudgetOptions, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        if not self.tenant or len(self.tenant) > 200 or len(self.name) > 200:
            raise ValueError("tenant and name have at most 200 characters, a tenant at least one")
        if self.expires_in is not None and not self.expires_in > 0:
            raise ValueError(f"expires_in: {self.expires_in} is over at once; give seconds above 0")
        if not -100 <= self.priority <= 100:
            raise ValueError(f"priority: {self.priority} is outside -100 to 100")
        if not self.scopes:
            raise ValueError("scopes: a key without any opens nothing; give call, metrics, admin or console")
        for name in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: {value} allows nothing; give at least 1, or leave it out")


class TenantRecord(Struct, frozen=True, kw_only=True):
    """A tenant as it is kept."""

    tenant: str
    options: TenantOptions


class Minted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A secret that was just made: shown once, kept nowhere."""

    id: str
    key: str
    access_key: str = ""


def new_secret(clock: Clock) -> str:
    """A key of 256 random bits."""
    return PREFIX + base64.urlsafe_b64encode(clock.secret()).decode().rstrip("=")


def new_access_key(clock: Clock) -> str:
    """An access key id in the shape of AWS's: twenty capital letters and digits."""
    return AWS_PREFIX + "".join(_BASE32[byte % 32] for byte in clock.secret()[:16])


class Seal:
    """Encrypts the secrets of AWS pairs.

    Args:
        key: of `admission.sealing_key`; empty: there is none.
    """

    def __init__(self, key: str) -> None:
        self._key = key

    @property
    def usable(self) -> bool:
        """Whether pairs can be made."""
        return bool(self._key)

    def close(self, secret: str, access_key: str) -> str:
        """`secret` encrypted, bound to its access key id.

        Raises:
            ValueError: there is no key, or the extra is missing.
        """
        nonce = os.urandom(12)
        return base64.b64encode(nonce + self._cipher().encrypt(nonce, secret.encode(), access_key.encode())).decode()

    def open(self, sealed: str, access_key: str) -> str:
        """What `close` was given. Raises `ValueError`: another key, or it was changed."""
        cipher = self._cipher()
        from cryptography.exceptions import InvalidTag

        data = base64.b64decode(sealed)
        try:
            plain: bytes = cipher.decrypt(data[:12], data[12:], access_key.encode())
        except InvalidTag:
            raise ValueError("it was sealed with another admission.sealing_key") from None
        return plain.decode()

    def _cipher(self) -> Any:
        if not self._key:
            raise ValueError(
                "secrets of AWS pairs have to be readable to verify signatures, so they are encrypted: set "
                "admission.sealing_key"
            )
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            raise ValueError("encrypting secrets of AWS pairs needs: pip install 'hapenny[content]'") from None
        return AESGCM(blake2b(self._key.encode(), digest_size=32, person=b"hapenny-pairs").digest())
