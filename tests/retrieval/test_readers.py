import gzip
import io

import pytest

from hapenny.retrieval.readers import UnreadableFile, files, html_text, load, read, unread

BOM = "\ufeff"


def rows(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path, name)


def test_files_of_every_kind_are_read(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "guide.md").write_text("# Guide\n\nText with ünïcode.\n\n## Part\n\nMore.")
    (tmp_path / "page.html").write_text(
        "<html><title>My page</title><script>x()</script><h1>Top</h1><p>One<br>two</p><nav>menu</nav><li>item</li>"
    )
    (tmp_path / "rows.jsonl").write_text('{"id": 7, "title": "T", "brand": "A", "price": 3}\n{"id": 8, "brand": "B"}\n')
    (tmp_path / "table.csv").write_text("id,title,price\n1,Chair,20.5\n2,Desk,\n")
    (tmp_path / "skip.exe").write_text("no")
    (tmp_path / ".hidden.md").write_text("no")
    read_all = {d.id: d for path in files(tmp_path) for d in read(path, tmp_path)}
    assert set(read_all) == {"page.html", "rows.jsonl:7", "rows.jsonl:8", "sub/guide.md", "table.csv:1", "table.csv:2"}
    assert read_all["sub/guide.md"].title == "Guide"
    page = read_all["page.html"]
    assert page.title == "My page"
    assert "menu" not in page.text
    assert "x()" not in page.text
    assert page.text.startswith("# Top\n\nOne\ntwo")
    assert read_all["rows.jsonl:7"].facets == {"brand": ["A"]}
    assert read_all["rows.jsonl:7"].numbers == {"price": 3.0}
    assert read_all["table.csv:1"].numbers["price"] == 20.5
    assert unread(tmp_path) == "1 .exe, 1 hidden"


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
        {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
    )
    stream = DecodedStreamObject()
    stream.set_data(b"BT /F1 12 Tf 20 100 Td (Half a penny toll) Tj ET")
    page[NameObject("/Contents")] = stream
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
    other = tmp_path / "x.exe"
    other.write_text("")
    with pytest.raises(UnreadableFile, match="unknown format"):
        read(other)


def test_a_page_inside_a_form_is_read_and_a_drawing_names_nothing():
    title, text = html_text(
        "<head><title>Hours</title></head><body><form><svg><title>Icon</title></svg><p>Opens at seven.</p>"
        "<button>May I return it?</button><p>Yes.</p></form></body>"
    )
    assert title == "Hours"
    assert text.split("\n\n") == ["Opens at seven.", "May I return it?", "Yes."]


def test_a_page_of_nothing_but_navigation_keeps_it():
    assert "All manuals" in html_text("<nav><a href=x>All manuals</a></nav>")[1]


def test_tables_and_code_of_a_page_keep_their_lines():
    _, text = html_text(
        "<h2>A</h2><p>b c</p><table><tr><th>x</th><th>y</th></tr><tr><td>1</td><td>2</td></tr></table>"
        "<pre>def f():\n    return 1\n</pre>"
    )
    assert text.startswith("## A\n\nb c\n\n| x | y |\n| --- | --- |\n| 1 | 2 |")
    assert "```\ndef f():\n    return 1\n" in text


def test_tables_that_only_place_things_are_no_tables():
    _, text = html_text("<table><tr><td><h1>Top</h1><table><tr><td>a</td><td>b</td></tr></table></td></tr></table>")
    assert text.startswith("# Top\n\n| a | b |")


def test_a_page_nested_beyond_reason_keeps_its_words():
    assert "deep down" in html_text("<div>" * 5000 + "deep down" + "</div>" * 5000)[1]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_tables_are_read_under_any_delimiter_and_codes_stay_as_written(tmp_path, delimiter):
    line = lambda *cells: delimiter.join(cells) + "\n"  # noqa: E731
    text = line("id", "zip", "price", "note") + line("7", "00017", "3.50", '"a, b; c|d"') + line("8", "12345", "4", "x")
    reading = rows(tmp_path, text)
    first, second = reading.documents
    assert (first.id, second.id) == ("table.csv:7", "table.csv:8")
    assert first.numbers == {"price": 3.5}
    assert "zip: 00017" in first.text
    assert "note: a, b; c|d" in first.text
    assert second.facets["zip"] == ["12345"]
    assert reading.left_out == []


def test_marks_quotes_and_ragged_rows_lose_nothing(tmp_path):
    text = BOM + 'sep=;\r\nname;size;;name\r\n"the ""best"" one";2;x;y;beyond\r\n\r\nsecond;3\r\n'
    first, second = rows(tmp_path, text).documents
    assert 'name: the "best" one' in first.text
    assert "column_3: x" in first.text
    assert "name_5: y" in first.text
    assert "column_5: beyond" in first.text
    assert second.numbers == {"size": 3.0}
    escaped = rows(tmp_path, 'name,note\na,"he said \\"no\\", twice"\n').documents[0]
    assert 'note: he said "no", twice' in escaped.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_byte_order_marks_anywhere_are_no_part_of_the_text(tmp_path, encoding):
    text = '{"id": "a", "text": "Ünï"}\n' + BOM + '{"id": "b", "text": "zwei"}\n'
    documents = rows(tmp_path, text.encode(encoding), "rows.jsonl").documents
    assert [document.id for document in documents] == ["rows.jsonl:a", "rows.jsonl:b"]
    page = rows(tmp_path, (BOM + "# Title\n\nText").encode(encoding), "page.md").documents[0]
    assert (page.title, page.text) == ("Title", "Text")


def test_another_encoding_is_guessed_and_said(tmp_path):
    text = "名前,説明\n" + "".join(f"商品{n},とても便利な道具です。長く使えます。\n" for n in range(20))
    reading = rows(tmp_path, text.encode("shift_jis"))
    assert "とても便利な道具です" in reading.documents[3].text
    assert "not UTF-8" in reading.left_out[0]


def test_lines_that_are_no_objects_are_named_and_the_rest_is_kept(tmp_path):
    reading = rows(tmp_path, '{"id": 1, "text": "a"}\n{broken\n[1]\n{"id": 2, "text": "b"}\n', "rows.jsonl")
    assert len(reading.documents) == 2
    assert "2 lines left out" in reading.left_out[0]
    assert "2, 3" in reading.left_out[0]


def test_rows_with_one_id_are_all_kept_and_it_is_said(tmp_path):
    reading = rows(tmp_path, "id,text\nA1,first line\nA1,second line\n")
    assert [document.id for document in reading.documents] == ["table.csv:A1", "table.csv:A1~2"]
    assert "1 rows have an id" in reading.left_out[0]


def test_objects_and_lists_inside_rows_are_read(tmp_path):
    line = '{"id": 1, "maker": {"name": "Acme", "since": 1950}, "sizes": [1, 2], "parts": [{"no": 7, "of": "steel"}]}\n'
    document = rows(tmp_path, line, "rows.jsonl").documents[0]
    assert document.numbers == {"maker.since": 1950.0}
    assert document.facets["maker.name"] == ["Acme"]
    assert document.facets["sizes"] == ["1", "2"]
    assert "no: 7, of: steel" in document.text


def test_front_matter_is_metadata(tmp_path):
    text = "---\ntitle: The Guide\ntags: [a, b]\nyear: 2024\ndraft: false\nsince: 2024-05-01\n---\n# Other\n\nText."
    document = rows(tmp_path, text, "page.md").documents[0]
    assert (document.title, document.text) == ("The Guide", "Text.")
    assert document.facets == {"tags": ["a", "b"], "draft": ["false"], "since": ["2024-05-01"]}
    assert document.numbers == {"year": 2024.0}
    toml = rows(tmp_path, '+++\ntitle = "T"\n+++\nText.', "page.md").documents[0]
    assert (toml.title, toml.text) == ("T", "Text.")


@pytest.mark.parametrize("text", ["---\n\nA rule above.", "--- \nno: [yaml\n---\nText", "---\njust words\n---\nText"])
def test_a_rule_at_the_top_is_no_front_matter(tmp_path, text):
    document = rows(tmp_path, text, "page.md").documents[0]
    assert document.text.startswith("---")


def test_gzipped_files_are_unpacked_and_empty_ones_named(tmp_path):
    path = tmp_path / "a.md.gz"
    path.write_bytes(gzip.compress(b"# T\n\nText"))
    assert load(path, "a.md.gz").documents[0].text == "Text"


def test_a_single_column_of_sentences_keeps_their_commas(tmp_path):
    [one, two] = rows(tmp_path, "question\nHello, how are you?\nWhen, exactly, do you open?\n").documents
    assert one.text == "question: Hello, how are you?"
    assert two.text == "question: When, exactly, do you open?"


def test_comments_before_the_head_are_no_head_and_a_head_may_begin_with_a_hash(tmp_path):
    [row] = rows(tmp_path, "# exported on Monday\nsku,name\n00017,Heron\n").documents
    assert row.text == "sku: 00017 | name: Heron"
    [row] = rows(tmp_path, "#id,name\n00017,Heron\n").documents
    assert row.text == "#id: 00017 | name: Heron"


def test_apostrophes_may_quote_cells_and_those_of_words_do_not(tmp_path):
    [row] = rows(tmp_path, "name;text\n'Heron; large';big\n").documents
    assert row.text == "name: Heron; large | text: big"
    [row] = rows(tmp_path, "name,text\nHeron's,it is John's\n").documents
    assert row.text == "name: Heron's | text: it is John's"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_wide_characters_without_a_mark_are_read(tmp_path, encoding):
    reading = rows(tmp_path, "The shop opens at nine.".encode(encoding), "note.txt")
    assert reading.documents[0].text == "The shop opens at nine."
    assert f"read as {encoding}" in reading.left_out[0]


@pytest.mark.parametrize(
    "text",
    ['[{"id": 1, "text": "red"}, {"id": 2, "text": "blue"}]', '{"items": [{"id": 1, "text": "red"}, {"id": 2}]}',
     '{"id": 1, "text": "red"}\n{"id": 2, "text": "blue"}'],
)  # fmt: skip
def test_json_is_a_list_of_objects_or_an_object_with_one_or_lines(tmp_path, text):
    documents = rows(tmp_path, text, "rows.json").documents
    assert [each.id for each in documents] == ["rows.json:1", "rows.json:2"]
    assert documents[0].text == "red"


def test_json_without_objects_is_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="neither an object nor a list"):
        rows(tmp_path, "3", "rows.json")


def test_readings_of_signs_and_parts_of_a_form_do_not_run_into_words():
    _, text = html_text("<p>東<ruby>京<rt>きょう</rt></ruby>へ</p><details><summary>Q</summary>Answer</details>")
    assert text.split() == ["東京へ", "Q", "Answer"]
    assert html_text("<p><button>Press</button><label>Name</label></p>")[1].split() == ["Press", "Name"]


def test_a_cell_over_several_rows_stands_in_each_of_them():
    page = (
        "<table><tr><th>City</th><th>Year</th><th>N</th></tr><tr><td rowspan=2>Hue</td><td>2020</td><td>1</td></tr>"
        "<tr><td>2021</td><td>2</td></tr><tr><td>Oslo</td><td rowspan=2>2022</td><td>3</td></tr>"
        "<tr><td>Rome</td><td>4</td></tr></table>"
    )
    lines = html_text(page)[1].splitlines()
    assert lines[2:] == ["| Hue | 2020 | 1 |", "| Hue | 2021 | 2 |", "| Oslo | 2022 | 3 |", "| Rome | 2022 | 4 |"]


def test_cells_that_claim_a_thousand_rows_do_not_fill_the_memory():
    wide = "<tr>" + "<td rowspan=1000>x</td>" * 200 + "</tr>" + "<tr></tr>" * 500
    assert len(html_text(f"<table>{wide}</table>")[1]) < 200_000


def test_marks_that_link_to_a_heading_are_no_part_of_it():
    assert html_text('<h2>Returns <a href="#returns">¶</a></h2><p>Text</p>')[1] == "## Returns\n\nText"


def test_versions_and_long_numbers_stay_as_written(tmp_path):
    table = rows(tmp_path, "ver,price,text\n1.10,2.50,alpha\n1.1,3,beta\n").documents
    assert [row.facets["ver"] for row in table] == [["1.10"], ["1.1"]]
    assert [row.numbers for row in table] == [{"price": 2.5}, {"price": 3.0}]
    [row] = rows(tmp_path, '{"id": 1, "account": 12345678901234567890, "rank": 7}', "rows.jsonl").documents
    assert "12345678901234567890" in row.text
    assert row.numbers == {"rank": 7.0}


def test_a_file_without_text_is_named(tmp_path):
    assert "no text" in rows(tmp_path, "", "empty.md").left_out[0]
    assert "no text" in rows(tmp_path, "<html><title>x</title></html>", "empty.html").left_out[0]
    assert not rows(tmp_path, '{"title": "Only a title"}', "rows.jsonl").left_out


def test_apostrophes_of_words_do_not_swallow_rows(tmp_path):
    table = rows(tmp_path, "name,note\nfoo,'twas nice\nbar,the dogs'\nbaz,plain\n").documents
    assert [row.facets["note"] for row in table] == [["'twas nice"], ["the dogs'"], ["plain"]]
    quoted = rows(tmp_path, "name,note\n'foo','a, b'\n'bar','c'\n").documents
    assert [row.facets["note"] for row in quoted] == [["a, b"], ["c"]]


@pytest.mark.parametrize("encoding", ["euc_jp", "cp932"])
def test_japanese_of_old_encodings_is_read(tmp_path, encoding):
    (tmp_path / "old.txt").write_bytes("日本語の文書です。これは短い文です。".encode(encoding))
    assert "これは短い文です" in load(tmp_path / "old.txt", "old.txt").documents[0].text


def test_korean_of_an_old_encoding_is_not_taken_for_japanese(tmp_path):
    (tmp_path / "old.txt").write_bytes("한국어 문서입니다. 오래된 부호로 적혀 있습니다.".encode("euc_kr"))
    assert "한국어 문서입니다" in load(tmp_path / "old.txt", "old.txt").documents[0].text
