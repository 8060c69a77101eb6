"""A damaged byte costs one line at most, wherever it falls, and it is known whose."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.batch import checked

NAMES = st.text(min_size=1, max_size=12)
VALUES = st.dictionaries(st.text(max_size=5), st.one_of(st.integers(0, 9), st.text(max_size=30)), max_size=4)
FILES = st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=6, unique_by=lambda pair: pair[0])


def said(line):
    return None if line.json is None else json.loads(line.json)


@given(FILES)
def test_what_is_written_is_read(pairs):
    data = checked.lines(pairs)
    read = checked.read(data)
    assert [(line.name, said(line)) for line in read.lines] == pairs
    assert read.whole == len(data)
    assert all(json.loads(line) for line in data.splitlines())  # other tools can read it


@given(FILES, st.data())
def test_one_damaged_byte_costs_one_line_and_it_is_known_whose(pairs, draw):
    data = bytearray(checked.lines(pairs))
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at] = draw.draw(st.integers(0, 255).filter(lambda byte: byte != data[at]))
    read = checked.read(bytes(data))
    kept = {line.name: said(line) for line in read.lines if line.json is not None}
    assert all(kept[name] == dict(pairs)[name] for name in kept)  # nothing is read that was not written
    lost = [line.name for line in read.lines if line.json is None and line.name is not None]
    assert {*kept, *lost} == set(dict(pairs))
    assert len(lost) <= 1


@given(FILES, st.data())
def test_what_a_crash_cut_off_is_left_out_and_nothing_before_it(pairs, draw):
    data = checked.lines(pairs)
    cut = draw.draw(st.integers(0, len(data)))
    read = checked.read(data[:cut])
    whole = [line for line in read.lines if line.json is not None]
    assert [(line.name, said(line)) for line in whole] == pairs[: len(whole)]
    ends = [len(checked.lines(pairs[: n + 1])) for n in range(len(pairs))]
    assert len(whole) == sum(end <= cut for end in ends)
    assert len(read.lines) == len(whole)


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (b'{"kind":"batch"}\n{"kind":"done"}\n', [{"kind": "batch"}, {"kind": "done"}]),
        (b'{"kind":"batch"}\n{"kind":"do', [{"kind": "batch"}]),
        (b'{"kind":"ba\x00tch"}\n{"kind":"done"}\n', [None, {"kind": "done"}]),
        (b'["r1","r2"]', [["r1", "r2"]]),
        (b'{"id":"file-1","owner":"t"}', [{"id": "file-1", "owner": "t"}]),
        (b"", []),
    ],
)
def test_files_of_version_0_1_are_read(data, values):
    assert [said(line) for line in checked.read(data).lines] == values


def test_new_lines_behind_old_ones_are_read():
    data = b'{"kind":"batch"}\n' + checked.line("1", {"kind": "done"})
    assert [said(line) for line in checked.read(data).lines] == [{"kind": "batch"}, {"kind": "done"}]
