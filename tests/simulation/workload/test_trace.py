"""Traces are read as they are written, or refused with the line at fault."""

import gzip

import pytest

from hapenny.simulation.workload.trace import Arrival, from_csv


def test_a_trace_may_be_zipped_and_unsorted(tmp_path):
    path = tmp_path / "t.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("timestamp_s,input_tokens,output_tokens\n9,1,2\n5,3,4\n")
    assert from_csv(path) == [Arrival(0.0, 3, 4), Arrival(4.0, 1, 2)]


@pytest.mark.parametrize(
    "text", ["", "timestamp_s,input_tokens\n1,2\n", "timestamp_s,input_tokens,output_tokens\nx,1,2"]
)
def test_what_is_no_trace_is_named(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="Fix:"):
        from_csv(path)


def test_a_zipped_trace_needs_no_suffix_and_a_byte_order_mark_is_no_name(tmp_path):
    text = "\ufefftimestamp_s,input_tokens,output_tokens\n0,1,2\n"
    plain, packed = tmp_path / "plain.csv", tmp_path / "packed.csv"
    plain.write_text(text, encoding="utf-8")
    packed.write_bytes(gzip.compress(text.encode()))
    assert from_csv(plain) == from_csv(packed) == [Arrival(0.0, 1, 2)]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"time,in,out\n0,1,2\n", "no column input_tokens, output_tokens, timestamp_s among time, in, out"),
        (b"timestamp_s;input_tokens;output_tokens\n0;1;2\n", "separated by commas"),
        (b"timestamp_s,input_tokens,output_tokens\n0,1,2\n1,abc,2\n", "line 3: input_tokens is 'abc'"),
        (b"timestamp_s,input_tokens,output_tokens\n0,1,99999999999\n", "line 2: output_tokens is '99999999999'"),
        (b"timestamp_s,input_tokens,output_tokens\nnan,1,2\n", "line 2: timestamp_s is 'nan'"),
        (b"\xa1\xff\x00", "no text of lines"),
        (b"\x1f\x8b\x08broken", "no text of lines"),
    ],
)
def test_the_error_names_the_column_and_the_fix(tmp_path, content, named):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Fix:") as error:
        from_csv(path)
    assert named in str(error.value)
