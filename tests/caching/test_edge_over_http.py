"""Published answers of a served gateway through a real HTTP cache (nginx), and what must never be kept there."""

import asyncio
import hashlib
import json

import aiohttp
import pytest

from hapenny.config import ConfigError, load
from hapenny.gateway.gateway import Gateway
from tests.caching.test_safety_cases import Shop
from tests.server.house import running
from tests.servers import free_port

CONFIG = """
ledger: null
backends: {simulated: {kind: simulated}}
edge: {shared_s: %s, stale_s: %s, questions: %s}
stages: {exact: {ttl_s: %s}}
routes:
  default: {holdout: 0, cache_scope: shared, knowledge_epoch: "%s"}
  mine: {holdout: 0}
"""
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; user root;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  proxy_cache_path {folder}/cache keys_zone=edge:1m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{origin}; proxy_http_version 1.1;
      # As eager as it can be: what is not kept was kept away by the origin's headers alone.
      proxy_cache edge; proxy_cache_methods GET HEAD POST; proxy_cache_key $request_method$uri$request_body;
      proxy_cache_revalidate on; proxy_cache_background_update on;
      add_header x-cache $upstream_cache_status always;
    }}
  }}
}}
"""


class Front:
    """A gateway, nginx before it, and a client."""

    def __init__(self, app, session, url, direct):
        self.app, self.session, self.url, self.direct = app, session, url, direct

    async def get(self, path, **headers):
        async with self.session.get(self.url + path, headers=headers) as answer:
            return answer.headers.get("x-cache"), answer.status, answer.headers, await answer.read()

    async def ask(self, text, route="default", *, url=None, stream=False, **headers):
        body = {"model": "strong", "temperature": 0, "stream": stream, "messages": [{"role": "user", "content": text}]}
        headers = {"x-hapenny-route": route, **headers}
        async with self.session.post((url or self.url) + "/v1/chat/completions", json=body, headers=headers) as answer:
            await answer.read()
            return answer.headers

    async def published(self, text):
        """The path of an answer that the model gave twice."""
        await self.ask(text)
        await self.ask(text, **{"Cache-Control": "no-cache"})
        return (await self.ask(text))["x-hapenny-notes"].partition("answer=")[2]

    async def until(self, path, state):
        async with asyncio.timeout(20):
            while (found := await self.get(path))[0] != state:
                await asyncio.sleep(0.05)
            return found


def config(shared=300, stale=60, ttl=3600, epoch="7", questions=()):
    return load(text=CONFIG % (shared, stale, json.dumps(list(questions)), ttl, epoch))


@pytest.fixture
async def front(request, tmp_path, nginx_binary):
    async with running(config(**getattr(request, "param", {})), {"simulated": Shop()}) as (url, app):
        port = free_port()
        text = NGINX.format(folder=tmp_path, port=port, origin=url.rsplit(":", 1)[1])
        (tmp_path / "nginx.conf").write_text(text)
        cache = await asyncio.create_subprocess_exec(
            nginx_binary, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)
        )
        try:
            async with aiohttp.ClientSession() as session:
                front = Front(app, session, f"http://127.0.0.1:{port}", url)
                async with asyncio.timeout(20):
                    while True:
                        try:
                            await front.get("/health/live")
                            break
                        except aiohttp.ClientConnectionError:
                            await asyncio.sleep(0.05)
                yield front
        finally:
            cache.terminate()
            await cache.wait()


async def test_a_published_answer_is_fetched_once_and_its_etag_saves_the_body(front):
    path = await front.published("when do you open")
    assert [(await front.get(path))[0] for _ in range(3)] == ["MISS", "HIT", "HIT"]
    _, status, headers, body = await front.get(path)
    assert status == 200
    assert json.loads(body)["answer"] == "the answer to when do you open"
    assert "s-maxage=300" in headers["cache-control"]
    _, status, _, body = await front.get(path, **{"If-None-Match": headers["etag"]})
    assert (status, body) == (304, b"")
    async with front.session.head(front.direct + path) as head:
        assert head.headers["etag"] == headers["etag"]
        assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("front", [{"shared": 1, "stale": 600}], indirect=True)
async def test_a_stale_answer_is_served_while_it_is_revalidated(front):
    path = await front.published("when do you open")
    await front.get(path)
    _, status, _, body = await front.until(path, "STALE")
    assert status == 200
    assert json.loads(body)["answer"] == "the answer to when do you open"
    await front.until(path, "HIT")  # revalidated behind the client's back


@pytest.mark.parametrize("front", [{"shared": 1, "stale": 0}], indirect=True)
async def test_what_is_unchanged_is_revalidated_and_what_was_withdrawn_is_gone(front):
    path = await front.published("what does volume three cost")
    await front.get(path)
    await front.until(path, "REVALIDATED")
    async with front.session.post(front.direct + "/v1/cache/invalidate", json={"tag": "route:default"}) as answer:
        assert (await answer.json())["edge"]["entries"] == 1
    async with asyncio.timeout(20):
        while (await front.get(path))[1] != 404:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("front", [{"shared": 1, "stale": 0}], indirect=True)
async def test_removing_the_answer_by_its_key_takes_its_page_back(front):
    path = await front.published("when do you open")
    key = (await front.ask("when do you open"))["cache-status"].partition('key="')[2].partition('"')[0]
    body = {"key": key, "dry_run": True}
    for dry, status in ((True, 200), (False, 404)):
        async with front.session.post(front.direct + "/v1/cache/invalidate", json={**body, "dry_run": dry}) as answer:
            assert (await answer.json())["exact"]["entries"] == 1
        async with front.session.get(front.direct + path) as page:
            assert page.status == status


QUESTIONS = pytest.mark.parametrize("front", [{"questions": ["default"]}], indirect=True)


def address(question, epoch="7"):
    """As a client computes it that never asked before."""
    text = f"hapenny-question\ndefault\n{epoch}\n{question}"
    return "/v1/answers/" + hashlib.sha256(text.encode()).hexdigest()


@QUESTIONS
async def test_a_first_question_is_answered_at_the_edge(front):
    where = address("when do you open")
    assert (await front.get(where))[1] == 404
    await front.ask("when do you open")
    async with front.session.get(front.direct + where) as page:
        assert page.status == 404  # given once
    await front.ask(" when do you\n open ")  # the same address; an answer in other words does not count for it
    await front.published("when do you open")
    async with front.session.get(front.direct + where) as page:
        assert page.status == 200
        assert (await page.json())["answer"] == "the answer to when do you open"
    await front.until(where, "HIT")
    body = {"tag": "route:default"}
    async with front.session.post(front.direct + "/v1/cache/invalidate", json=body):
        pass
    async with front.session.get(front.direct + where) as page:
        assert page.status == 404


@QUESTIONS
async def test_a_question_with_two_answers_has_none_for_everybody(front):
    where = address("when do you open")
    await front.published("when do you open")
    async with front.session.get(front.direct + where) as page:
        assert page.status == 200
    shop = front.app.gateway.parts.backends["simulated"]
    shop.answers["when do you open"] = "never"
    turns = [("system", "You answer for another shop."), ("user", "when do you open")]
    messages = [{"role": role, "content": content} for role, content in turns]
    body = {"model": "strong", "temperature": 0, "messages": messages}
    async with front.session.post(front.direct + "/v1/chat/completions", json=body) as answer:
        assert (await answer.json())["choices"][0]["message"]["content"] == "never"
    await front.published("when do you open")
    async with front.session.get(front.direct + where) as page:
        assert page.status == 404


async def test_a_question_has_no_address_where_nobody_said_so(front):
    await front.published("when do you open")
    async with front.session.get(front.direct + address("when do you open")) as page:
        assert page.status == 404


def test_a_route_whose_answers_are_not_everybodys_is_refused():
    for name, why in (("mine", "are not everybody's"), ("nobody", "is no route")):
        with pytest.raises(ConfigError, match=why):
            config(questions=[name])


async def test_a_new_epoch_has_new_addresses_and_withdraws_the_old_ones(front):
    path = await front.published("when do you open")
    new = Gateway(config(epoch="8"), backends={"simulated": Shop()}, previous=front.app.gateway)
    await new.start()
    await front.app.swap(new)
    async with front.session.get(front.direct + path) as page:
        assert page.status == 404
    assert await front.published("when do you open") != path


@pytest.mark.parametrize("front", [{"ttl": 100}], indirect=True)
async def test_no_cache_keeps_an_answer_longer_than_it_is_served_here(front):
    path = await front.published("when do you open")
    _, _, headers, _ = await front.get(path)
    life = int(headers["cache-control"].partition("s-maxage=")[2].partition(",")[0])
    assert 0 < life <= 100


async def test_everything_else_is_private_and_never_kept(front):
    for stream in (False, True):
        for _ in range(2):
            headers = await front.ask("a private question", "mine", stream=stream)
            assert headers["x-cache"] == "MISS"
            assert headers["cache-control"] == "private, no-store"
    for path in ("/v1/models", "/health/ready", "/metrics", "/v1/requests/none", "/v1/cache/stats", "/v1/nothing"):
        for _ in range(2):
            state, _, headers, _ = await front.get(path)
            assert state == "MISS", path
            assert headers["cache-control"] == "private, no-store"


async def test_an_answer_given_once_is_not_published(front):
    await front.ask("when do you open")
    headers = await front.ask("when do you open")
    assert "; hit" in headers["cache-status"]
    assert "x-hapenny-notes" not in headers
    _, status, headers, _ = await front.get("/v1/answers/" + "00" * 32)
    assert status == 404
    assert headers["cache-control"] == "public, max-age=0, s-maxage=1"
