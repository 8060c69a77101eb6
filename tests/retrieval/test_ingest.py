import io

import pytest

from hapenny.retrieval.chunking import Chunking
from hapenny.retrieval.documents import Document
from hapenny.retrieval.embedded import EmbeddedStore
from hapenny.retrieval.ingest import Ingest, batches
from hapenny.retrieval.lexical import Boosts, Terms
from hapenny.retrieval.manifest import Manifest
from hapenny.retrieval.readers import UnreadableFile, files, html_text, read
from tests.retrieval.conftest import DIM, vector_of


class Words:
    """An embedder that counts what it is asked."""

    name, dim = "words", DIM

    def __init__(self):
        self.asked = 0

    async def embed(self, texts):
        import numpy as np

        self.asked += len(texts)
        return np.stack([vector_of(text) for text in texts]) if texts else np.zeros((0, DIM), np.float32)


def found(store, text):
    leg = store.lexical(Terms.of(text, store.analyser), 10, Boosts())
    return [document.id for document in store.fetch(leg.rows.tolist())]


LONG = " ".join(f"Sentence number {i} speaks of topic{i}." for i in range(120))


async def test_documents_become_searchable_chunks_and_a_second_run_does_nothing():
    store, embedder, manifest = EmbeddedStore(DIM, "en"), Words(), Manifest()
    documents = [Document(id="a", title="Long", text=LONG), Document(id="b", title="Short", text="A short one.")]
    told = []
    first = await Ingest(
        store, embedder, manifest, Chunking(size=64, overlap=8), on_progress=lambda p: told.append(p.chunks)
    ).run(documents)
    assert first.chunks > 5
    assert told[-1] == first.chunks
    assert found(store, "topic77")[0].startswith("a#")
    asked = embedder.asked
    second = await Ingest(store, embedder, manifest, Chunking(size=64, overlap=8)).run(documents)
    assert (second.unchanged, second.chunks, embedder.asked) == (2, 0, asked)


async def test_a_changed_document_loses_its_old_chunks_and_a_missing_one_goes():
    store, manifest = EmbeddedStore(DIM, "en"), Manifest()
    how = Chunking(size=64, overlap=8)
    run = lambda documents: Ingest(store, Words(), manifest, how).run(documents, complete=True)  # noqa: E731
    await run([Document(id="a", text=LONG), Document(id="b", text="Zebra facts.")])
    result = await run([Document(id="a", text="Only giraffes now.")])
    assert result.removed == 1
    assert found(store, "topic77") == []
    assert found(store, "zebra") == []
    assert found(store, "giraffes") == ["a"]
    assert store.count() == 1
    assert manifest.ids() == ["a"]


async def test_repeated_passages_are_stored_once():
    store = EmbeddedStore(DIM, "en")
    text = " ".join(f"word{i}" for i in range(80)) + "."
    result = await Ingest(store, Words(), Manifest()).run([Document(id=str(i), text=text) for i in range(3)])
    assert result.merged == 2
    assert store.count() == 1


async def test_sentence_vectors_are_kept_for_pruning():
    manifest = Manifest()
    ingest = Ingest(EmbeddedStore(DIM, "en"), Words(), manifest, keep_sentences=True)
    await ingest.run([Document(id="a", text="Cats sleep. Dogs bark.")])
    texts, vectors = manifest.sentences("a", DIM)
    assert texts == ["Cats sleep.", "Dogs bark."]
    assert vectors[1] @ vector_of("Dogs bark.") > 0.99


def test_batches_keep_order_and_the_limit():
    assert list(batches([3, 3, 3, 9, 1], lambda x: x, 6)) == [[3, 3], [3], [9], [1]]


def test_files_of_every_kind_are_read(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "guide.md").write_text("# Guide\n\nText with ünïcode.\n\n## Part\n\nMore.")
    (tmp_path / "page.html").write_text(
        "<html><title>My page</title><script>x()</script><h1>Top</h1><p>One<br>two</p><nav>menu</nav><li>item</li>"
    )
    (tmp_path / "rows.jsonl").write_text('{"id": 7, "title": "T", "brand": "A", "price": 3}\n{"id": 8, "brand": "B"}\n')
    (tmp_path / "table.csv").write_text("id,title,price\n1,Chair,20.5\n2,Desk,\n")
    (tmp_path / "skip.exe").write_text("no")
    read_all = {d.id: d for path in files(tmp_path) for d in read(path, tmp_path)}
    assert set(read_all) == {"page.html", "rows.jsonl:7", "rows.jsonl:8", "sub/guide.md", "table.csv:1", "table.csv:2"}
    assert read_all["sub/guide.md"].title == "Guide"
    page = read_all["page.html"]
    assert page.title == "My page"
    assert "menu" not in page.text
    assert "x()" not in page.text
    assert page.text.startswith("# Top\nOne\ntwo")
    assert read_all["rows.jsonl:7"].facets == {"brand": ["A"]}
    assert read_all["rows.jsonl:7"].numbers == {"price": 3.0}
    assert read_all["table.csv:1"].numbers["price"] == 20.5


def test_pdf_text_is_read(tmp_path):
    import pypdf
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = pypdf.PdfWriter()
    page = writer.add_blank_page(200, 200)
    font = DictionaryObject(
        {NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1"),
         NameObject("/BaseFont"): NameObject("/Helvetica")}
    )  # fmt: skip
    page[NameObject("/Resources")] = DictionaryObject(
        {NameObject("/Font"): DictionaryObject({NameObject("/F1"): writer._add_object(font)})}
    )
    stream = DecodedStreamObject()
    stream.set_data(b"BT /F1 12 Tf 20 100 Td (Half a penny toll) Tj ET")
    page[NameObject("/Contents")] = writer._add_object(stream)
    writer.add_metadata({"/Title": "Toll"})
    buffer = io.BytesIO()
    writer.write(buffer)
    path = tmp_path / "x.pdf"
    path.write_bytes(buffer.getvalue())
    (document,) = read(path)
    assert (document.title, document.text) == ("Toll", "Half a penny toll")


def test_broken_files_are_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("not json")
    with pytest.raises(UnreadableFile, match=r"rows\.jsonl"):
        read(path)
    with pytest.raises(UnreadableFile, match="unknown format"):
        read(tmp_path.joinpath("x.exe").with_suffix(".exe")) if (tmp_path / "x.exe").write_text("") == 0 else None


def test_html_keeps_structure_as_headings():
    title, text = html_text("<h2>A</h2><p>b c</p><table><tr><td>x</td><td>y</td></tr></table>")
    assert title == ""
    assert text == "## A\nb c\n| x | y"
