"""Edge semantics; `test_edge_over_http` has them through a real HTTP cache."""

import hashlib
import json
import re
import shutil
import subprocess
import unicodedata
from urllib.parse import quote_plus

import pytest
import yaml

from hapenny.caching.edge import Edge
from hapenny.caching.publishing import question_key

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


def template():
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: node.value)
    with open("deploy/cloudfront.yaml") as file:
        return yaml.load(file, Loader)


QUESTIONS = (
    "when do you open",
    "  When\tdo \r\n you   open? ",
    "Wo ist B\u00e4nd 3? a\u0308 \u00e4",
    "\u7b2c3\u5dfb\u306f\u3044\u3064\uff1f \U0001f600 & = + % /",
)


def test_a_clients_own_formula_gives_the_address():
    for question in QUESTIONS:
        plain = re.sub("[ \t\r\n]+", " ", unicodedata.normalize("NFC", question)).strip(" ")
        text = f"hapenny-question\nfaq\n7\n{plain}"  # as docs/caching.md has it
        assert question_key("faq", "7", question) == hashlib.sha256(text.encode()).digest()
    assert question_key("faq", "7", "a") != question_key("faq", "8", "a") != question_key("default", "8", "a")


def test_the_edge_computes_the_same_address():
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    code = template()["Resources"]["QuestionAddress"]["Properties"]["FunctionCode"].replace("${KnowledgeEpoch}", "7")
    where = "/v1/answers/ask"
    asked = [
        {"uri": where, "querystring": {"route": {"value": "faq"}, "question": {"value": quote_plus(question)}}}
        for question in QUESTIONS
    ]
    broken = {"uri": where, "querystring": {"question": {"value": "%E0%A4%A"}}}
    other = {"uri": "/v1/answers/00ff", "querystring": {"a": {"value": "b"}}}
    requests = json.dumps([*asked, broken, other])
    script = f"{code}\nconsole.log(JSON.stringify({requests}.map((request) => handler({{request}}))))"
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True)
    *answers, refused, untouched = json.loads(done.stdout)
    for question, answer in zip(QUESTIONS, answers, strict=True):
        assert answer == {"uri": f"/v1/answers/{question_key('faq', '7', question).hex()}", "querystring": {}}
    assert refused["statusCode"] == 400
    assert untouched == other


def test_the_cloudfront_template_caches_answers_alone():
    config = template()["Resources"]["Distribution"]["Properties"]["DistributionConfig"]
    assert [behaviour["PathPattern"] for behaviour in config["CacheBehaviors"]] == ["/v1/answers/*"]
    disabled = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    assert config["DefaultCacheBehavior"]["CachePolicyId"] == disabled
    # boto3 signs the host it was given: it has to reach us, as everything else a client sends.
    assert config["DefaultCacheBehavior"]["OriginRequestPolicyId"] == "216adef6-5c7f-47e4-b989-5492eafa07d3"
    # CloudFront keeps errors for ten seconds, whatever they say of themselves, unless it is told not to.
    kept = {each["ErrorCode"]: each["ErrorCachingMinTTL"] for each in config["CustomErrorResponses"]}
    assert kept == dict.fromkeys((400, 403, 404, 405, 414, 500, 501, 502, 503, 504), 0)
