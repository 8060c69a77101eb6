"""The registry: stored keys and tenants and the pause switch, as they are now, and every change of them.

All of it lies in one key-value store. Whoever changes something writes a new `rev` last; `follow` looks at `rev` every
`refresh_s` and reads everything again when it is another, so that all processes and hosts that share the store agree
within that time. What was read is answered from memory: no request waits for the store.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from hapenny.admission.admin_log import AdminLog
from hapenny.admission.keys import Identity, digest
from hapenny.admission.options import TenantOptions
from hapenny.admission.records import (
    OPENS,
    KeyRecord,
    Minted,
    NewKey,
    Seal,
    Secret,
    TenantRecord,
    new_access_key,
    new_secret,
)
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure, invalid
from hapenny.core.log import get_logger
from hapenny.stores.kv import KeyValue, scanned

_KEY, _TENANT, _HASH, _PAUSE, _REV = "key/", "tenant/", "hash/", "pause", "rev"
STORE_ERRORS = (OSError, sqlite3.Error, ValueError)
"""What a store that cannot be read or written raises."""

_log = get_logger("hapenny.admission")


class Pause(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The switch that turns every saving stage off."""

    paused: bool = False
    by: str = ""
    at: float = 0.0
    reason: str = ""


class Registry:
    """See the module. `load` comes before the first request.

    Args:
        store: where everything lies.
        clock: the deployment's clock.
        seal: encrypts secrets of AWS pairs.
        lasting: whether the store outlives the process.
        serves: whether requests are answered here, so that a switched switch is news for the log.
    """

    def __init__(self, store: KeyValue, clock: Clock, seal: Seal, *, lasting: bool, serves: bool = True) -> None:
        self.store = store
        self.lasting = lasting
        self._serves = serves
        self.log = AdminLog(store)
        self.pause = Pause()
        self.revision = 0
        """Grows whenever something was read that is new."""
        self.configured: Mapping[str, TenantOptions] = {}
        """Tenants of the configuration: they go before stored ones."""
        self.empty = True
        """Whether no key was ever made here."""
        self.limits = False
        """Whether anything is said of what a stored key or a tenant may use."""
        self._clock = clock
        self._seal = seal
        self._rev: bytes | None = None
        self._records: dict[str, KeyRecord] = {}
        self._tenants: dict[str, TenantRecord] = {}
        self._by_hash: dict[bytes, tuple[str, float | None]] = {}
        self._pairs: dict[str, tuple[str, float | None]] = {}
        self._identities: dict[str, Identity] = {}

    # -- what requests ask -----------------------------------------------------------------------------------------

    def who(self, digest: bytes) -> Identity | None:
        """Whose key has that hash. Raises `Failure`, `authentication`, for one that has ended."""
        known = self._by_hash.get(digest)
        if known is None:
            return None
        id, until = known
        if until is not None and self._clock.wall() >= until:
            raise Failure("authentication", "this API key was replaced", fix="use the new one")
        return self.holder(id)

    def knows(self, digest: bytes) -> bool:
        """Whether a key of that hash is kept, also one that has ended."""
        return digest in self._by_hash

    def secret_of(self, access_key: str) -> str | None:
        """The secret of an AWS pair; None: there is none, or it was replaced."""
        known = self._pairs.get(access_key)
        return None if known is None or (known[1] is not None and self._clock.wall() >= known[1]) else known[0]

    def holder(self, key_id: str) -> Identity | None:
        """Who has the key of that id. Raises `Failure`, `authentication`, for one that has ended."""
        record = self._records.get(key_id)
        if record is None:
            return None
        state = record.state(self._clock.wall())
        if state != "active":
            raise Failure("authentication", f"this API key is {state}", fix="ask the operator for a new one")
        identity = self._identities.get(key_id)
        if identity is None:
            identity = self._identities[key_id] = self.limited(_identity(record))
        return identity

    def limited(self, identity: Identity) -> Identity:
        """What a key may do within what its tenant may do."""
        tenant = self.tenant(identity.tenant)
        if tenant is None:
            return identity
        return msgspec.structs.replace(
            identity,
            models=_both(identity.models, tenant.models),
            routes=_both(identity.routes, tenant.routes),
            priority=min(identity.priority, tenant.priority),
        )

    def tenant(self, name: str) -> TenantOptions | None:
        """What is said of a tenant: in the configuration, in the store, or of all others (`*`)."""
        said = self.configured.get(name)
        if said is None and name in self._tenants:
            said = self._tenants[name].options
        return said if said is not None else self.configured.get("*")

    def record(self, key_id: str) -> KeyRecord | None:
        """A stored key."""
        return self._records.get(key_id)

    def records(self) -> list[KeyRecord]:
        """All stored keys, oldest first."""
        return sorted(self._records.values(), key=lambda record: (record.created, record.id))

    def tenants(self) -> dict[str, TenantOptions]:
        """All tenants of which something is said, by name."""
        return {**{name: record.options for name, record in self._tenants.items()}, **self.configured}

    def _changed(self) -> None:
        self.revision += 1
        self.empty = not self._records
        self.limits = bool(self.configured or self._tenants) or any(
            record.budgets or record.requests_per_minute or record.tokens_per_minute
            for record in self._records.values()
        )

    # -- reading ---------------------------------------------------------------------------------------------------

    def configure(self, tenants: Mapping[str, TenantOptions], seal: Seal) -> None:
        """What the configuration says now (a reload)."""
        self.configured, self._seal = tenants, seal
        self._identities.clear()
        self._changed()

    async def load(self) -> None:
        """Reads everything.

        Raises:
            OSError, ValueError, sqlite3.Error: the store cannot be read.
        """
        rev = await self.store.get(_REV)
        records = {}
        for data in await self._all(_KEY):
            record = msgspec.json.decode(data, type=KeyRecord)
            records[record.id] = record
        tenants = {}
        for data in await self._all(_TENANT):
            tenant = msgspec.json.decode(data, type=TenantRecord)
            tenants[tenant.tenant] = tenant
        raw = await self.store.get(_PAUSE)
        pause = msgspec.json.decode(raw, type=Pause) if raw is not None else Pause()
        by_hash, pairs = {}, {}
        for record in records.values():
            for secret in record.secrets:
                by_hash[bytes.fromhex(secret.hash)] = (record.id, secret.until)
                if secret.sealed:
                    try:
                        pairs[secret.access_key] = (self._seal.open(secret.sealed, secret.access_key), secret.until)
                    except ValueError as error:
                        _log.error("the secret of an AWS pair cannot be read", name=record.id, reason=str(error))
        if pause.paused != self.pause.paused and self._serves:
            if pause.paused:
                _log.warning("saving stages are paused", reason=pause.reason)
            else:
                _log.warning("saving stages are resumed", reason=pause.reason)
        self._records, self._tenants, self.pause = records, tenants, pause
        self._by_hash, self._pairs, self._rev = by_hash, pairs, rev
        self._identities = {}
        self._changed()

    async def follow(self, every_s: float) -> None:
        """Reads everything again when somebody has changed something, as long as it is not cancelled."""
        while True:
            await self._clock.sleep(every_s)
            if await self.store.get(_REV) != self._rev:
                await self.load()

    async def _all(self, prefix: str) -> list[bytes]:
        return [data async for _, data in scanned(self.store, prefix)]

    # -- changing --------------------------------------------------------------------------------------------------

    async def create(self, wanted: NewKey, actor: str, key: str = "") -> Minted:
        """Makes a key.

        Args:
            wanted: what it may do.
            actor: who makes it, for the log.
            key: a secret that is in use already and moves here; empty: a new one.

        Raises:
            Failure: `invalid_request`, `conflict` if the secret is somebody's already.
        """
        if key and (len(key) < 8 or wanted.aws):
            raise invalid("a key that moves here has at least 8 characters, and no AWS pair", "key", "make a new one")
        now = self._clock.wall()
        minted = Minted(
            id=self._clock.new_id("key_"),
            key=key or new_secret(self._clock),
            access_key=new_access_key(self._clock) if wanted.aws else "",
        )
        fields = {name: getattr(wanted, name) for name in wanted.__struct_fields__ if name not in ("aws", "expires_in")}
        record = KeyRecord(
            id=minted.id, created=now, secrets=(self._secret(minted),),
            expires=None if wanted.expires_in is None else now + wanted.expires_in, **fields,
        )  # fmt: skip
        await self._claim(record.secrets[0], record.id)
        await self._write(_KEY + record.id, record, actor, "create key", record.id, f"tenant {record.tenant}")
        return minted

    async def rotate(self, id: str, actor: str, overlap_s: float = 0.0) -> Minted:
        """Gives a key a new secret (and, to a pair, a new access key id); the old one is taken for `overlap_s` longer.

        Raises:
            Failure: `not_found`; `conflict` if it has ended.
        """
        await self.load()
        record, now = self._known(id), self._clock.wall()
        if record.state(now) != "active":
            raise Failure("conflict", f"the key {id!r} is {record.state(now)}", fix="create a new one")
        pair = any(each.access_key for each in record.secrets)
        minted = Minted(id=id, key=new_secret(self._clock), access_key=new_access_key(self._clock) if pair else "")
        fresh, until = self._secret(minted), now + max(0.0, overlap_s)
        old = [
            msgspec.structs.replace(each, until=until if each.until is None else min(each.until, until))
            for each in record.secrets
            if each.until is None or each.until > now
        ]
        record = msgspec.structs.replace(record, secrets=(fresh, *old))
        await self._claim(fresh, id)
        await self._write(_KEY + id, record, actor, "rotate key", id, f"overlap {overlap_s:g} s")
        return minted

    async def revoke(self, id: str, actor: str) -> KeyRecord:
        """Ends a key, for good. Raises `Failure`, `not_found`."""
        await self.load()
        record = self._known(id)
        if record.revoked is None:
            record = msgspec.structs.replace(record, revoked=self._clock.wall())
            await self._write(_KEY + id, record, actor, "revoke key", id)
        return record

    async def set_tenant(self, name: str, options: TenantOptions, actor: str) -> None:
        """Says what a tenant may do. Raises `Failure`, `conflict`, where the configuration says it."""
        if name in self.configured:
            raise Failure("conflict", f"the tenant {name!r} stands in the configuration", fix="change it there")
        if not name or name == "*" or len(name) > 200:
            raise invalid("no name of a tenant", "tenant", "one of 1 to 200 characters")
        record = TenantRecord(tenant=name, options=options)
        await self._write(_TENANT + name, record, actor, "set tenant", name)

    async def switch(self, paused: bool, actor: str, reason: str = "") -> Pause:
        """Turns every saving stage off, or on again as configured."""
        pause = Pause(paused=paused, by=actor[:200], at=self._clock.wall(), reason=reason[:200])
        await self._write(_PAUSE, pause, actor, "pause" if paused else "resume", "saving stages", pause.reason)
        return pause

    async def aclose(self) -> None:
        """Lets go of the store."""
        await self.store.aclose()

    def _known(self, id: str) -> KeyRecord:
        record = self._records.get(id)
        if record is None:
            raise Failure("not_found", f"there is no stored key {id[:64]!r}", fix="hapenny keys list")
        return record

    def _secret(self, minted: Minted) -> Secret:
        sealed = ""
        if minted.access_key:
            try:
                sealed = self._seal.close(minted.key, minted.access_key)
            except ValueError as error:
                raise Failure("invalid_request", str(error), field="aws") from None
        return Secret(hash=digest(minted.key).hex(), access_key=minted.access_key, sealed=sealed)

    async def _claim(self, secret: Secret, id: str) -> None:
        """One secret is one key's, also if two are made at once."""
        if not await self.store.compare_and_set(_HASH + secret.hash, None, id.encode()):
            raise Failure("conflict", "this key is stored already", field="key", fix="make a new one")

    async def _write(self, name: str, value: Any, actor: str, action: str, subject: str, detail: str = "") -> None:
        """The log comes first: an action that is in force is in it."""
        await self.log.add(self._clock.wall(), actor, action, subject, detail)
        await self.store.set(name, msgspec.json.encode(value))
        await self.store.set(_REV, self._clock.new_id().encode())
        await self.load()


def _identity(record: KeyRecord) -> Identity:
    return Identity(
        tenant=record.tenant,
        key_id=record.id,
        routes=record.routes,
        default_route=record.default_route,
        groups=record.groups,
        models=record.models,
        opens=("anyone", *[OPENS[scope] for scope in record.scopes]),
        priority=record.priority,
    )


def _both(own: tuple[str, ...], tenants: list[str]) -> tuple[str, ...]:
    """What is in both lists; `*` is everything."""
    if "*" in tenants:
        return own
    return tuple(tenants) if "*" in own else tuple(name for name in own if name in tenants)
