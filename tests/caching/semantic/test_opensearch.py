"""What gateways learn together, kept in an index: against a server that follows OpenSearch's documented requests and
answers (constructed; no cluster is asked)."""

import base64
import json

import pytest
from aiohttp import BasicAuth, web

from hapenny.caching.semantic import opensearch
from hapenny.caching.semantic.opensearch import OpenSearchChannel
from hapenny.caching.semantic.shared import SharedSemantic
from hapenny.config import ConfigError, load
from hapenny.core.clock import RealClock
from hapenny.stores.space import MemorySpace
from tests.backends.servers import serving
from tests.caching.semantic.test_shared import Gateway


class Cluster:
    """One index: what is asked of it is checked against its mapping."""

    def __init__(self):
        self.mapping, self.documents, self.asked, self.status = None, {}, [], 200

    async def __call__(self, request):
        body = json.loads(await request.read() or b"{}")
        method, path = request.method, request.path.removeprefix("/learnt")
        self.asked.append((method, path.split("/")[1] if path else ""))
        assert BasicAuth.decode(request.headers["authorization"]) == BasicAuth("g@te", "w:y/100%")
        if self.status != 200:
            return web.json_response({"error": {"type": "unavailable"}}, status=self.status)
        if method == "PUT" and not path:
            if self.mapping is not None:
                return web.json_response(
                    {"error": {"type": "resource_already_exists_exception", "reason": "exists"}, "status": 400},
                    status=400,
                )
            self.mapping = body["mappings"]["properties"]
            return web.json_response({"acknowledged": True, "shards_acknowledged": True, "index": "learnt"})
        if method == "PUT":
            name = path.removeprefix("/_doc/")
            assert body.keys() == self.mapping.keys(), "the mapping is strict"
            base64.b64decode(body["data"], validate=True)
            self.documents[name] = body
            return web.json_response({"_index": "learnt", "_id": name, "result": "created"}, status=201)
        if path == "/_search":
            return web.json_response(self.search(body))
        if path == "/_delete_by_query":
            before = len(self.documents)
            self.documents = {n: d for n, d in self.documents.items() if not fits(d, body["query"])}
            return web.json_response({"deleted": before - len(self.documents)})
        return web.json_response({"error": {"type": "illegal_argument_exception"}}, status=405)

    def search(self, body):
        filters = body["query"]["bool"]["filter"]
        fields = [next(iter(each)) for each in body["sort"]]
        assert all(self.mapping[field]["type"] in ("keyword", "double") for field in fields)
        kept = [each for each in self.documents.values() if all(fits(each, one) for one in filters)]
        kept.sort(key=lambda each: [each[field] for field in fields])
        hits = [{"_id": each["name"], "_source": each, "sort": [each[field] for field in fields]} for each in kept]
        if "search_after" in body:
            hits = [hit for hit in hits if hit["sort"] > body["search_after"]]
        return {"hits": {"total": {"value": len(kept)}, "hits": hits[: body["size"]]}}


def fits(document, condition):
    if "term" in condition:
        ((field, value),) = condition["term"].items()
        return document[field] == value
    ((field, bounds),) = condition["range"].items()
    compare = {"gt": float.__gt__, "gte": float.__ge__, "lte": float.__le__}
    return all(compare[how](float(document[field]), float(value)) for how, value in bounds.items())


@pytest.fixture
async def cluster(monkeypatch):
    monkeypatch.setattr(opensearch, "LOOK_S", 0.0)
    made = Cluster()
    async with serving(made) as base:
        made.url = base.replace("http://", "http://g%40te:w%3Ay%2F100%25@") + "/learnt"
        made.channels = []

        def channel(clock=None, life_s=600.0):
            made.channels.append(OpenSearchChannel(made.url, clock or RealClock(), life_s))
            return made.channels[-1]

        made.channel = channel
        yield made
        for each in made.channels:
            await each.aclose()


async def test_what_one_gateway_learnt_the_other_knows_and_one_that_comes_later(cluster):
    space = MemorySpace(RealClock())

    def gateway():
        made = Gateway(space, fixed=0.9)
        made.together = made.cache.others = SharedSemantic(made.elsewhere, made.cache, made.clock, cluster.channel())
        return made

    one, two = gateway(), gateway()
    await one.ask("when do you open on sundays")
    await one.together.exchange()
    await two.together.exchange()
    assert await two.ask("when do you open on sundays", id="req_2")
    later = gateway()
    await later.together.exchange()
    assert later.together.taken == 1
    assert await later.ask("when do you open on sundays", id="req_3")
    assert (one.calls, two.calls, later.calls) == (1, 0, 0)


async def test_all_that_lives_is_read_page_by_page_and_each_message_once(cluster, monkeypatch):
    monkeypatch.setattr(opensearch, "PAGE", 3)
    sender, reader = cluster.channel(), cluster.channel()
    for number in range(10):
        await sender.tell(b"%d" % number, "semantic")
    await sender.tell(b"x", "another")
    read, after = [], ""
    while messages := (await reader.heard(after, "semantic")).messages:
        read += [message.data for message in messages]
        after = messages[-1].id
    assert read == [b"%d" % number for number in range(10)]
    await sender.tell(b"new", "semantic")
    assert [message.data for message in (await reader.heard(after, "semantic")).messages] == [b"new"]
    assert (await reader.heard(after, "semantic")).messages == []


class Behind(RealClock):
    """A machine whose clock is half a minute late."""

    def wall(self):
        return RealClock.wall() - 30.0


async def test_clocks_that_differ_lose_no_message(cluster):
    late, right, reader = cluster.channel(Behind()), cluster.channel(), cluster.channel()
    await right.tell(b"first", "semantic")
    (first,) = (await reader.heard("", "semantic")).messages
    await late.tell(b"second, by an earlier time", "semantic")
    assert [each.data for each in (await reader.heard(first.id, "semantic")).messages] == [
        b"second, by an earlier time"
    ]


async def test_what_has_ended_is_neither_read_nor_kept(cluster):
    await cluster.channel(life_s=-1.0).tell(b"over", "semantic")
    await cluster.channel().tell(b"lives", "semantic")
    reader = cluster.channel()
    assert [each.data for each in (await reader.heard("", "semantic")).messages] == [b"lives"]
    assert len(cluster.documents) == 1


async def test_a_cluster_that_is_away_is_told_as_a_lost_store_and_gone_on_with(cluster):
    channel = cluster.channel()
    await channel.tell(b"before", "semantic")
    cluster.status = 503
    with pytest.raises(ConnectionError):
        await channel.tell(b"during", "semantic")
    with pytest.raises(ConnectionError):
        await channel.heard("", "semantic")
    cluster.status = 200
    await channel.tell(b"after", "semantic")
    assert [each.data for each in (await channel.heard("", "semantic")).messages] == [b"before", b"after"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("stages: {semantic: {opensearch: 'https://host:9200/index'}}", "only gateways that share"),
        ("shared: 'redis://h:1'\nstages: {semantic: {opensearch: 'https://u:secret@host'}}", "is no index"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(text, why):
    with pytest.raises(ConfigError) as refused:
        load(text=text + "\nfingerprint_key: sixteen characters\n")
    assert any(why in each and "secret" not in each for each in refused.value.problems)
