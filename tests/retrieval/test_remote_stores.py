"""OpenSearch and Bedrock Knowledge Bases. Request shapes are checked against botocore's model where there is one;
the OpenSearch answer follows the documented `_msearch` form (constructed)."""

import base64
import json

import botocore.loaders
import botocore.model
import botocore.validate
import msgspec
import numpy as np
import pytest

from hapenny.retrieval.documents import Document
from hapenny.retrieval.filters import TENANT, Among, parse, seen_by
from hapenny.retrieval.stores import bedrock_knowledge_base as knowledge
from hapenny.retrieval.stores import opensearch
from hapenny.retrieval.stores.embedded import EmbeddedStore
from hapenny.retrieval.stores.lexical import Terms
from hapenny.retrieval.stores.sharded import ShardedStore
from tests.retrieval.conftest import DIM, vector_of, vectors_of
from tests.retrieval.store_contract import BOOSTS, StoreContract, ids

WHERE = parse(
    {"all": [{"field": "genre", "in": ["Action"]}, {"field": "year", "gte": 2000, "lt": 2010},
             {"not": {"any": [{"field": "genre", "is": "Drama"}, {"field": "votes", "gt": 5}]}}]}
)  # fmt: skip


@pytest.fixture(scope="module")
def retrieve_shape():
    loaded = botocore.loaders.Loader().load_service_model("bedrock-agent-runtime", "service-2")
    return botocore.model.ServiceModel(loaded).operation_model("Retrieve").input_shape


@pytest.mark.parametrize(
    "where", [None, WHERE, parse({"field": "year", "is": 3}), parse({"all": [{"field": "a", "is": "b"}]})]
)
def test_knowledge_base_requests_are_valid_for_botocore(retrieve_shape, where):
    body = json.loads(knowledge.request("robots", 7, where))
    report = botocore.validate.ParamValidator().validate({"knowledgeBaseId": "KB12345678", **body}, retrieve_shape)
    assert not report.has_errors(), report.generate_report()
    assert body["retrievalConfiguration"]["vectorSearchConfiguration"]["numberOfResults"] == 7


def test_a_negation_is_asked_for_by_opposites():
    said = knowledge.condition(WHERE)["andAll"][-1]
    assert said == {
        "andAll": [
            {"notIn": {"key": "genre", "value": ["Drama"]}},
            {"lessThanOrEquals": {"key": "votes", "value": 5.0}},
        ]
    }


def test_knowledge_base_answers_become_hits():
    body = {
        "retrievalResults": [
            {
                "content": {"text": "A passage", "type": "TEXT"},
                "location": {"type": "S3", "s3Location": {"uri": "s3://b/docs/guide.pdf"}},
                "score": 0.71,
                "metadata": {"x-amz-bedrock-kb-chunk-id": "c1", "year": 2020, "lang": "en", "draft": True},
            },
            {"content": {"text": "Other"}, "location": {"type": "WEB", "webLocation": {"url": "https://x/y"}}},
        ]
    }
    first, second = knowledge.answer(json.dumps(body).encode())
    assert (first.id, first.score, first.document.title) == ("c1", 0.71, "guide.pdf")
    assert first.document.numbers == {"year": 2020.0}
    assert first.document.facets["lang"] == ["en"]
    assert (second.document.source, second.score) == ("https://x/y", 0.0)


def test_opensearch_searches_both_legs_with_the_filter_inside():
    lines = [
        json.loads(line) for line in opensearch.searches("films", "robot", np.ones(3), 20, where=WHERE).splitlines()
    ]
    assert lines[0] == lines[2] == {"index": "films"}
    assert lines[1]["query"]["bool"]["must"][0]["multi_match"]["fields"][0] == "all^1.0"
    near = lines[3]["query"]["knn"]["vector"]
    assert near["k"] == 20
    assert near["filter"] == opensearch.condition(WHERE)
    ranged = near["filter"]["bool"]["filter"][1]
    assert ranged == {"range": {"numbers.year": {"gte": 2000.0, "lt": 2010.0}}}


def test_opensearch_bulk_lines_pair_action_and_source(films):
    lines = opensearch.bulk("films", films[:2], vectors_of(films[:2])).splitlines()
    assert [json.loads(line)["index"]["_id"] for line in lines[::2]] == ["1", "2"]
    source = json.loads(lines[1])
    assert "genre\x1fFamily" in source["tags"]
    properties = opensearch.mapping(DIM, "en")["mappings"]["properties"]
    assert set(source) <= set(properties)
    assert properties["vector"]["dimension"] == len(source["vector"])


def test_opensearch_answers_give_cosines_back(films):
    def hit(film, score):
        packed = base64.b64encode(msgspec.msgpack.encode(film)).decode()
        return {"_id": film.id, "_score": score, "_source": {"document": packed}}

    body = {
        "responses": [
            {"hits": {"hits": [hit(films[1], 12.5)]}},
            {"hits": {"hits": [hit(films[0], 1.8), hit(films[1], 0.8)]}},
        ]
    }
    lexical, near = opensearch.answers(json.dumps(body).encode())
    assert lexical.scores == [12.5]
    assert near.scores == pytest.approx([0.8, -0.25])
    assert near.documents[0] == films[0]
    failed = {"responses": [{"error": {"reason": "no such index [films]"}}]}
    with pytest.raises(ValueError, match="no such index"):
        opensearch.answers(json.dumps(failed).encode())


class TestSharded(StoreContract):
    @pytest.fixture
    def store(self, films):
        made = ShardedStore([EmbeddedStore(DIM, "en") for _ in range(3)], "shelf")
        shelved = [
            msgspec.structs.replace(film, facets={**film.facets, "shelf": [f"s{number % 3}"]})
            for number, film in enumerate(films)
        ]
        made.upsert(shelved, vectors_of(shelved))
        made.commit()
        return made

    def test_bm25_finds_by_stem_and_prefers_the_title(self, store):
        # Eight documents over three shards: the shards' own statistics decide the order.
        leg = store.lexical(Terms.of("robot", store.analyser), 10, BOOSTS)
        assert set(ids(store, leg)) == {"1", "5", "6"}

    def test_ideal_bounds_what_one_mention_of_each_term_scores(self, store):
        assert store.ideal(Terms.of("astronauts", store.analyser), BOOSTS) > 0

    def test_a_filter_that_names_a_shard_searches_only_that(self, store):
        where = Among("shelf", ("s1",))
        assert store.shards_for(where) == [store.shard_of("s1")]
        assert set(ids(store, store.vector(vector_of("x"), 50, where))) == {"2", "5", "8"}

    def test_a_document_of_two_shards_is_refused(self, store):
        both = [Document(id="x", facets={"shelf": ["s1", "s2"]})]
        with pytest.raises(ValueError, match="exactly one"):
            store.upsert(both, vectors_of(both))


def test_a_tenant_is_searched_in_its_shard_and_the_shared_one_only():
    store = ShardedStore([EmbeddedStore(DIM, "en") for _ in range(8)])
    documents = [
        Document(id=f"{tenant}{i}", title="robot", tenant=tenant) for tenant in ("", "a", "b") for i in range(3)
    ]
    store.upsert(documents, vectors_of(documents))
    store.commit()
    where = seen_by("a", [])
    assert set(store.shards_for(where)) == {store.shard_of("a"), store.shard_of("")}
    assert {each.tenant for each in store.fetch(store.vector(vector_of("robot"), 50, where).rows.tolist())} == {"", "a"}
    assert store.count(Among(TENANT, ("b",))) == 3
