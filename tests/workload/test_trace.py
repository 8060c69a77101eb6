"""Traces are read as they are written, or refused with the line at fault."""

import gzip

import pytest

from hapenny.workload.trace import Arrival, from_csv


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
