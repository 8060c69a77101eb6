"""Edge semantics, also through a real HTTP cache (nginx) on loopback."""

import asyncio

import pytest
import yaml
from aiohttp import ClientSession, web

from hapenny.caching.edge import Edge
from tests.servers import free_port

KEY = b"k" * 32


@pytest.fixture
def edge(clock):
    return Edge(clock, shared=300, stale=60, ttl=1_000)


def test_only_shared_and_verified_answers_are_published(edge):
    assert not edge.publish(KEY, b"{}", scope="tenant", verified=True)
    assert not edge.publish(KEY, b"{}", scope="shared", verified=False)
    assert edge.get(KEY.hex()).status == 404
    assert edge.publish(KEY, b"{}", scope="shared", verified=True)
    assert edge.get(KEY.hex()).status == 200


def test_headers_tell_a_cdn_what_to_do(edge, clock):
    edge.publish(KEY, b'{"a":1}', scope="shared", verified=True, epoch="7")
    page = edge.get(KEY.hex())
    assert page.body == b'{"a":1}'
    assert page.headers["cache-control"] == "public, max-age=0, s-maxage=300, stale-while-revalidate=60"
    assert page.headers["surrogate-key"] == "epoch-7"
    assert edge.get(KEY.hex(), head=True).body == b""
    clock.time += 900
    assert "s-maxage=100," in edge.get(KEY.hex()).headers["cache-control"]
    clock.time += 100
    assert edge.get(KEY.hex()).status == 404


def test_a_known_etag_is_not_sent_again(edge):
    edge.publish(KEY, b"{}", scope="shared", verified=True)
    etag = edge.get(KEY.hex()).headers["etag"]
    for header in (etag, f'"other", W/{etag}', "*"):
        page = edge.get(KEY.hex(), header)
        assert page.status == 304
        assert page.body == b""
        assert page.headers["etag"] == etag
    edge.publish(KEY, b"[]", scope="shared", verified=True)
    assert edge.get(KEY.hex(), etag).status == 200


def test_a_new_epoch_withdraws_the_old_answers(edge):
    edge.publish(KEY, b"{}", scope="shared", verified=True, epoch="7")
    edge.publish(b"x" * 32, b"{}", scope="shared", verified=True, epoch="8")
    assert edge.purge("7") == 1
    assert edge.get(KEY.hex()).status == 404
    assert edge.get((b"x" * 32).hex()).status == 200


@pytest.mark.parametrize("path", ["", "zz", "../secrets", "00"])
def test_nonsense_is_not_found(edge, path):
    assert edge.get(path).status == 404


def test_the_cloudfront_template_caches_answers_alone():
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: node.value)
    with open("deploy/cloudfront.yaml") as file:
        template = yaml.load(file, Loader)
    config = template["Resources"]["Distribution"]["Properties"]["DistributionConfig"]
    assert [behaviour["PathPattern"] for behaviour in config["CacheBehaviors"]] == ["/v1/answers/*"]
    disabled = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    assert config["DefaultCacheBehavior"]["CachePolicyId"] == disabled


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
      proxy_pass http://127.0.0.1:{origin}; proxy_cache edge; proxy_cache_revalidate on;
      add_header x-cache $upstream_cache_status always;
    }}
  }}
}}
"""


async def test_through_a_real_http_cache(edge, tmp_path, nginx_binary):
    edge.publish(KEY, b'{"a":1}', scope="shared", verified=True)
    seen = []

    async def origin(request):
        seen.append(request.path)
        if request.path.startswith("/v1/answers/"):
            page = edge.get(request.path.rsplit("/", 1)[1], request.headers.get("if-none-match", ""))
            return web.Response(status=page.status, headers=page.headers, body=page.body)
        return web.Response(text="mine", headers={"cache-control": "private, no-store"})

    runner = web.ServerRunner(web.Server(origin))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX.format(folder=tmp_path, port=port, origin=runner.addresses[0][1]))
    cache = await asyncio.create_subprocess_exec(nginx_binary, "-c", str(config), "-p", str(tmp_path))
    try:
        async with ClientSession() as session:

            async def get(path):
                for _ in range(100):
                    try:
                        async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                            return response.headers.get("x-cache"), await response.read()
                    except OSError:
                        await asyncio.sleep(0.05)
                raise AssertionError("the cache did not start")

            answer = f"/v1/answers/{KEY.hex()}"
            assert [await get(answer) for _ in range(3)] == [
                ("MISS", b'{"a":1}'),
                ("HIT", b'{"a":1}'),
                ("HIT", b'{"a":1}'),
            ]
            assert [(await get("/v1/other"))[0] for _ in range(2)] == ["MISS", "MISS"]
            assert seen.count(answer) == 1
            assert seen.count("/v1/other") == 2
    finally:
        cache.terminate()
        await cache.wait()
        await runner.cleanup()
