"""Every form reads back exactly, is never larger than minified, and leaves what is no JSON alone."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.tokens.compact import compact
from hapenny.tokens.expand import Unreadable, expand
from hapenny.tokens.lossless import Shrinker, minify, parse, restore, smallest

KEYS = st.text('abc_ :=$,{}[]"\n1é\\', max_size=5)
STRINGS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", " ", "1", "-1.5", "1e5", "true", "null", "a,b", "a\nb", '"', "[x]", " x", "x ", "2024-05-01"]),
    st.text(",:[]{}\"'\n\t $=\\ab1.", max_size=8),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), STRINGS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=20,
)


@st.composite
def uniform(draw: st.DrawFn) -> list:
    """Lists of objects alike: what tables are made for, with absent keys, nesting and lists inside."""
    keys = draw(st.lists(KEYS, min_size=1, max_size=4, unique=True))
    inner = draw(st.lists(KEYS, min_size=1, max_size=3, unique=True))
    nested = st.fixed_dictionaries(dict.fromkeys(inner, SCALARS))
    kinds = [draw(st.sampled_from(["scalar", "record", "list", "pair", "same", "gone", "any"])) for _ in keys]
    constant = draw(VALUES)
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        row = {}
        for key, kind in zip(keys, kinds, strict=True):
            if kind == "gone" and draw(st.booleans()):
                continue
            row[key] = {
                "scalar": lambda: draw(SCALARS),
                "gone": lambda: draw(SCALARS),
                "record": lambda: draw(nested),
                "list": lambda: draw(st.lists(nested, max_size=3)),
                "pair": lambda: [draw(nested), draw(nested)],
                "same": lambda: constant,
                "any": lambda: draw(VALUES),
            }[kind]()
        rows.append(row)
    return draw(st.sampled_from([rows, [rows, rows], {"rows": rows, "n": 1}, [rows]]))


def encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(st.one_of(VALUES, uniform()))
def test_compact_reads_back_exactly(value: object) -> None:
    kind, text = compact(value)
    again = expand(kind, text)
    assert json.dumps(again) == json.dumps(value)


@settings(max_examples=300, deadline=None)
@given(st.one_of(VALUES, uniform()))
def test_smallest_is_never_larger_than_minified_and_exact(value: object) -> None:
    text = json.dumps(value, indent=1)
    found = smallest(text, len)
    if isinstance(value, (list, dict)) and encodable(value):
        minified = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        assert len(found.text) <= max(len(minified), 24)
    assert json.dumps(restore(found.form, found.text)) == json.dumps(json.loads(text))


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for kind in ("rows", "lines", "value"):
        with contextlib.suppress(Unreadable):
            expand(kind, text)


def test_flights_become_rows_with_constants_in_the_head() -> None:
    flights = [
        {"flight": f"HAT{n:03}", "origin": "ATL", "zip": f"0{n}100", "seats": {"eco": n, "biz": 2}} for n in range(1, 4)
    ]
    kind, text = compact(flights)
    assert kind == "rows"
    assert text.splitlines() == [
        "flight,origin=ATL,zip$,seats{eco,biz=2}",
        " HAT001,01100,1",
        " HAT002,02100,2",
        " HAT003,03100,3",
    ]


@pytest.mark.parametrize("text", ["1.50", "-0", "1E5", "1e400", "123456789012345678901234567890", "0.1"])
def test_numbers_keep_their_letters(text: str) -> None:
    source = f'[{{"price":{text},"name":"a"}},{{"price":2,"name":"b"}}]'
    value = parse(source)
    assert minify(value) == source
    kind, short = compact(value)
    assert text in short
    assert minify(expand(kind, short)) == source


def test_escapes_are_undone() -> None:
    source = json.dumps({"tên": "Trần Hưng Đạo", "住所": "東京都千代田区"})
    found = smallest(source, len)
    assert "Trần Hưng Đạo" in found.text
    assert "東京都千代田区" in found.text


@pytest.mark.parametrize(
    "text",
    [
        "Transfer successful to the human agents",
        '{"a": 1, "a": 2, "padding": "so that it is long enough"}',
        '{"a": NaN, "padding": "so that it is long enough"}',
        '{"broken": "so that it is long enough"',
        '{"half": "\\ud800 a lone surrogate cannot be sent"}',
        "[" * 5000 + "]" * 5000,
    ],
)
def test_what_cannot_be_kept_exactly_is_left_alone(text: str) -> None:
    found = smallest(text, len)
    assert found.text == text
    assert found.form == "same"


def test_shrinker_keeps_the_bytes_first_sent_and_is_bounded() -> None:
    shrink = Shrinker(capacity=2)
    text = json.dumps([{"id": n, "name": f"article {n}"} for n in range(5)])
    first = shrink(text, len)
    assert shrink(text, lambda _: 1.0) is first
    for n in range(5):
        shrink(text + " " * n, len)
    assert shrink(text, len) is not first, "forgotten, since newer ones came"


MOMENTS = st.builds(
    lambda day, second, zone: f"2026-07-{day:02}T18:{second // 60:02}:{second % 60:02}{zone}",
    st.integers(1, 31),
    st.integers(0, 3599),
    st.sampled_from(["Z", "Z", "+02:00", ""]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.fixed_dictionaries({"at": MOMENTS, "n": st.integers(), "a~b*": st.text()}), min_size=2))
def test_moments_give_their_common_ends_to_the_head_and_read_back(items: list[dict[str, object]]) -> None:
    kind, text = compact(items)
    assert expand(kind, text) == items


def test_only_moments_are_taken_apart() -> None:
    rows = [
        {"id": f"2026-07-{n:02}-A", "at": f"2026-07-23T18:{n}:00Z", "link": f"https://x.example/{n}Z"}
        for n in range(20, 40)
    ]
    text = compact(rows)[1]
    assert text.startswith("id,at~2026-07-23T18:*Z,link\n")
    assert "2026-07-39-A,39:00, https://x.example/39Z" in text
