"""Benchmarks find their data by what it is: folders of other halves name their files otherwise, or lack some."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from benchmarks.savings.traffic import arrivals
from benchmarks.scaling.traces import apart, conversation, folder, requests
from benchmarks.throughput.traces import find
from benchmarks.tokens.data import rows


def trace(path: Path, times: list[float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as lines:
        lines.write("timestamp_s,input_tokens,output_tokens\n")
        lines.writelines(f"{at},100,10\n" for at in times)


def test_a_folder_above_the_traces_serves_as_the_folder_of_traces(tmp_path: Path) -> None:
    trace(tmp_path / "traces/one.second.csv.gz", [900.0, 901.0])
    assert set(requests(folder(tmp_path))) == set(requests(folder(tmp_path / "traces"))) == {"one"}
    assert find(tmp_path, "other") == find(tmp_path / "traces", "one") == conversation(folder(tmp_path))


def test_tuning_takes_the_other_halfs_trace_of_the_same_name_whatever_follows_the_dot(tmp_path: Path) -> None:
    trace(tmp_path / "first/one.csv.gz", [0.0, 1.0, 2.0])
    trace(tmp_path / "second/one.second.csv.gz", [3.0, 4.0])
    before, after = apart(tmp_path / "first", tmp_path / "second/one.second.csv.gz")
    assert [each.at for each in before] == [0.0, 1.0, 2.0]
    assert [each.at for each in after] == [0.0, 1.0]


def test_savings_take_any_trace_of_requests_where_the_usual_one_is_not(tmp_path: Path) -> None:
    trace(tmp_path / "traces/one_10min.csv.gz", [0.0])
    with pytest.raises(SystemExit, match="no trace of requests"):
        arrivals(tmp_path, 1, 1.0)
    trace(tmp_path / "traces/two.csv.gz", [5.0, 7.0])
    assert arrivals(tmp_path, 2, 2.0) == [0.0, 1.0]


def test_a_sets_other_part_is_read_where_the_usual_one_is_not(tmp_path: Path) -> None:
    for name in ("meetings_test", "hops", "tau_retail"):
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt") as lines:
            lines.write(f'{{"name": "{name}"}}\n')
    assert rows(tmp_path, "meetings_val") == [{"name": "meetings_test"}]
    assert rows(tmp_path, "hops100") == [{"name": "hops"}]
    assert rows(tmp_path, "tau_airline") == []
