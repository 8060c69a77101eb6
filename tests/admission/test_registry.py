"""Stored keys: made, found, replaced and ended, by every process that shares the store."""

import msgspec
import pytest

from hapenny.admission.admin_log import AdminLog
from hapenny.admission.keys import Keyring, digest
from hapenny.admission.options import TenantOptions
from hapenny.admission.records import NewKey, Seal
from hapenny.admission.registry import Registry
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.stores.open_kv import open_kv


class Clock(RealClock):
    def __init__(self):
        super().__init__()
        self.t = 1_800_000_000.0

    def wall(self):
        return self.t


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["keys.db", "keys.json", pytest.param("postgres", marks=pytest.mark.postgres)])
def place(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("postgres_dsn")
    return str(tmp_path / request.param)


def opened(place, clock, key="a sealing key"):
    return Registry(open_kv(place, clock), clock, Seal(key), lasting=True)


async def test_a_key_is_known_to_whoever_shares_the_store_and_its_secret_to_nobody(place, clock):
    one, two = opened(place, clock), opened(place, clock)
    await one.load()
    assert one.empty
    minted = await one.create(NewKey(tenant="acme", models=("fast",), priority=5), "cli:op")
    await two.load()
    identity = Keyring({}, stored=two).who(minted.key)
    assert (identity.tenant, identity.models, identity.priority) == ("acme", ("fast",), 5)
    assert identity.key_id == minted.id
    everything = b"".join(value for _, value in await one.store.scan(""))
    assert minted.key.encode() not in everything
    assert minted.key not in msgspec.json.encode(two.records()[0].shown(clock.wall())).decode()
    await one.aclose()
    await two.aclose()


async def test_ended_keys_open_nothing(place, clock):
    registry = opened(place, clock)
    ring = Keyring({}, stored=registry)
    short = await registry.create(NewKey(expires_in=60.0), "cli:op")
    gone = await registry.create(NewKey(), "cli:op")
    await registry.revoke(gone.id, "cli:op")
    assert ring.who(short.key).key_id == short.id
    clock.t += 61
    for key, word in ((short.key, "expired"), (gone.key, "revoked"), ("hk-unknown-key", "not known")):
        with pytest.raises(Failure, match=word) as refusal:
            ring.who(key)
        assert refusal.value.kind == "authentication"
    assert not ring.open
    with pytest.raises(Failure):
        ring.still(registry.limited(registry_identity(gone.id)))
    await registry.aclose()


def registry_identity(id):
    from hapenny.admission.keys import Identity

    return Identity(key_id=id)


async def test_rotating_keeps_the_key_and_takes_the_old_secret_for_a_while(place, clock):
    registry = opened(place, clock)
    ring = Keyring({}, stored=registry)
    old = await registry.create(NewKey(tenant="acme"), "cli:op")
    new = await registry.rotate(old.id, "cli:op", overlap_s=100)
    assert ring.who(old.key) == ring.who(new.key)
    clock.t += 101
    assert ring.who(new.key).key_id == old.id
    with pytest.raises(Failure, match="replaced"):
        ring.who(old.key)
    await registry.aclose()


async def test_an_aws_pair_is_readable_with_the_sealing_key_alone(place, clock):
    registry = opened(place, clock)
    pair = await registry.create(NewKey(tenant="acme", aws=True), "cli:op")
    assert registry.secret_of(pair.access_key) == pair.key
    everything = b"".join(value for _, value in await registry.store.scan(""))
    assert pair.key.encode() not in everything
    other = opened(place, clock, "another sealing key")
    await other.load()
    assert other.secret_of(pair.access_key) is None
    without = opened(place, clock, "")
    await without.load()
    with pytest.raises(Failure, match="sealing_key"):
        await without.create(NewKey(aws=True), "cli:op")
    for each in (registry, other, without):
        await each.aclose()


async def test_one_secret_is_one_keys(place, clock):
    registry = opened(place, clock)
    await registry.create(NewKey(tenant="a"), "cli:op", "a-key-in-use-already")
    with pytest.raises(Failure, match="stored already"):
        await registry.create(NewKey(tenant="b"), "cli:op", "a-key-in-use-already")
    await registry.aclose()


async def test_a_tenant_bounds_its_keys(place, clock):
    registry = opened(place, clock)
    await registry.set_tenant("acme", TenantOptions(models=["fast", "cheap"], priority=-1), "cli:op")
    wide = await registry.create(NewKey(tenant="acme", priority=50), "cli:op")
    narrow = await registry.create(NewKey(tenant="acme", models=("cheap", "dear")), "cli:op")
    ring = Keyring({}, stored=registry)
    assert ring.who(wide.key).models == ("fast", "cheap")
    assert ring.who(wide.key).priority == -1
    assert ring.who(narrow.key).models == ("cheap",)
    registry.configure({"acme": TenantOptions()}, Seal(""))
    with pytest.raises(Failure, match="configuration"):
        await registry.set_tenant("acme", TenantOptions(), "cli:op")
    await registry.aclose()


async def test_the_switch_is_seen_by_others_and_lasts(place, clock):
    one, two = opened(place, clock), opened(place, clock)
    await one.switch(True, "cli:op", "an incident")
    await two.load()
    assert two.pause.paused
    assert two.pause.reason == "an incident"
    await two.switch(False, "cli:op")
    await one.load()
    assert not one.pause.paused
    await one.aclose()
    await two.aclose()


async def test_every_action_is_in_the_log_and_a_changed_entry_is_noticed(place, clock):
    registry = opened(place, clock)
    minted = await registry.create(NewKey(tenant="acme"), "cli:ann")
    await registry.rotate(minted.id, "key_admin")
    await registry.revoke(minted.id, "cli:ann")
    await registry.switch(True, "cli:ann")
    newest = await registry.log.newest(10)
    assert [each.action for each in newest] == ["pause", "revoke key", "rotate key", "create key"]
    assert newest[3].actor == "cli:ann"
    assert await registry.log.broken() is None
    second = "log/000000000002"
    data = await registry.store.get(second)
    await registry.store.set(second, data.replace(b"key_admin", b"key_other"))
    assert await registry.log.broken() == 3
    await registry.store.delete(second)
    assert await registry.log.broken() == 2
    await registry.aclose()


async def test_entries_of_several_writers_all_stand(tmp_path, clock):
    import asyncio

    store = open_kv(str(tmp_path / "log.db"), clock)
    logs = [AdminLog(store) for _ in range(4)]
    await asyncio.gather(
        *(log.add(clock.wall(), f"w{n}", "did", str(i)) for n, log in enumerate(logs) for i in range(8))
    )
    assert len(await logs[0].newest(100)) == 32
    assert await logs[0].broken() is None
    await store.aclose()


def test_hashes_of_keys_do_not_tell_them():
    assert digest("hk-one") != digest("hk-two")
    assert b"hk-one" not in digest("hk-one")
