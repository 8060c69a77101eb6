"""Who may see a document, from every reader to every store."""

import json

import numpy as np
import pytest

from hapenny.retrieval.access import Access, AccessError, read_access
from hapenny.retrieval.documents import Document
from hapenny.retrieval.filters import matches, seen_by
from hapenny.retrieval.readers import UnreadableFile, load
from hapenny.retrieval.restricted import holds_restricted
from hapenny.retrieval.stores import bedrock_knowledge_base as knowledge
from hapenny.retrieval.stores import opensearch


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Access()),
        ({"Tenant": " acme "}, Access("acme")),
        ({"tenant": 7, "groups": [1, "staff"]}, Access("7", ("1", "staff"))),
        ({"groups": "staff; hr|sales, staff"}, Access("", ("staff", "hr", "sales"))),
        ({"groups": '["a, b", "c"]'}, Access("", ("a, b", "c"))),
        ({"tenant": "", "groups": None}, Access()),
    ],
)
def test_access_is_read_in_the_forms_people_write(fields, expected):
    assert read_access(fields) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"tenant": 1.5}, {"tenant": ["a", "b"]}, {"tenant": {"name": "a"}}, {"tenant": True},
        {"groups": []}, {"groups": [""]}, {"groups": ["staff", ""]}, {"groups": {"a": 1}}, {"groups": [["a"]]},
        {"groups": "[staff"}, {"groups": ",;"}, {"groups": False}, {"tenant": "a", "Tenant": "b"},
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_and_never_public(fields):
    with pytest.raises(AccessError):
        read_access(fields)


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return load(path, name)


FORMS = {
    "a.jsonl": '{"id": 1, "text": "x", "tenant": "acme", "groups": ["staff"]}\n',
    "a.csv": "id,text,tenant,groups\n1,x,acme,staff\n",
    "a.tsv": "id\ttext\tTENANT\tGroups\n1\tx\tacme\tstaff\n",
    "a.md": "---\ntenant: acme\ngroups: [staff]\n---\nx",
    "a.txt": '+++\ntenant = "acme"\ngroups = "staff"\n+++\nx',
    "a.html": '<meta name="tenant" content="acme"><meta name="groups" content="staff"><p>x</p>',
}


@pytest.mark.parametrize("name", FORMS)
def test_every_reader_knows_who_may_see_its_documents(tmp_path, name):
    (document,) = write(tmp_path, name, FORMS[name]).documents
    assert (document.tenant, document.groups) == ("acme", ["staff"])
    assert "acme" not in document.text
    assert "tenant" not in {key.lower() for key in document.facets}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", "---\ntenant:\n---\nx"),
        ("a.md", "---\ngroups: []\n---\nx"),
        ("a.md", "---\ntenant: [acme\n---\nx"),
        ("a.md", "---\ntenant: acme\nx"),
        ("a.html", '<meta name="groups" content=""><p>x</p>'),
    ],
)
def test_files_whose_readers_are_unclear_are_left_out(tmp_path, name, text):
    with pytest.raises(UnreadableFile, match="who may see it"):
        write(tmp_path, name, text)


def test_rows_whose_readers_are_unclear_are_left_out_alone(tmp_path):
    reading = write(tmp_path, "a.jsonl", '{"id": 1, "text": "x", "groups": {}}\n{"id": 2, "text": "y"}\n')
    assert [document.id for document in reading.documents] == ["a.jsonl:2"]
    assert "row 1 left out" in reading.left_out[0]


def test_fields_that_only_look_like_access_are_pointed_out(tmp_path):
    assert "tenant_id" in write(tmp_path, "a.csv", "id,text,tenant_id\n1,x,acme\n").left_out[0]


def test_groups_of_blanks_open_a_document_to_nobody():
    document = Document(id="a", groups=[""])
    assert not matches(seen_by("acme", ["", "staff"]), document)
    assert not matches(seen_by("", ()), document)


def test_codecs_send_the_bounds_along():
    where = seen_by("acme", ("staff",))
    document = Document(id="1", text="x", tenant="acme", groups=["staff"])
    source = opensearch.bulk("i", [document], np.zeros((1, 2), np.float32)).split(b"\n")[1]
    assert set(json.loads(source)["tags"]) == {"@tenant\x1facme", "@group\x1fstaff"}
    told = json.dumps(opensearch.condition(where))
    assert "@tenant\\u001facme" in told
    assert "@group\\u001fstaff" in told
    assert knowledge.condition(where)["andAll"][0] == {"in": {"key": "tenant", "value": ["acme", ""]}}
    body = {"content": {"text": "x"}, "metadata": {"tenant": "acme", "groups": ["staff"], "lang": "en"}}
    hit = knowledge.answer(json.dumps({"retrievalResults": [body]}).encode())[0]
    assert (hit.document.tenant, hit.document.groups, hit.document.facets) == ("acme", ["staff"], {"lang": ["en"]})


def test_a_collection_knows_whether_it_holds_restricted_documents(tmp_path):
    from click.testing import CliRunner

    from hapenny.cli.index import index

    (tmp_path / "a.csv").write_text("id,text,tenant\n1,open to all,\n")
    build = lambda *more: CliRunner().invoke(  # noqa: E731
        index, ["build", str(tmp_path / "c"), str(tmp_path / "a.csv"), "--embedder", "hashed", *more]
    )
    assert build().exit_code == 0
    assert not holds_restricted(tmp_path / "c")
    (tmp_path / "a.csv").write_text("id,text,tenant\n1,open to all,\n2,of one,acme\n")
    assert build().exit_code == 0
    assert holds_restricted(tmp_path / "c")
