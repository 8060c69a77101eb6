"""Edge semantics; `test_edge_over_http` has them through a real HTTP cache."""

import pytest
import yaml

from hapenny.caching.edge import Edge

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
    # boto3 signs the host it was given: it has to reach us, as everything else a client sends.
    assert config["DefaultCacheBehavior"]["OriginRequestPolicyId"] == "216adef6-5c7f-47e4-b989-5492eafa07d3"
    # CloudFront keeps errors for ten seconds, whatever they say of themselves, unless it is told not to.
    kept = {each["ErrorCode"]: each["ErrorCachingMinTTL"] for each in config["CustomErrorResponses"]}
    assert kept == dict.fromkeys((400, 403, 404, 405, 414, 500, 501, 502, 503, 504), 0)
