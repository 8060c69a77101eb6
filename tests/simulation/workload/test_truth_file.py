"""The truth of a workload goes to another process as a file."""

from pathlib import Path

import pytest

from hapenny.simulation.workload.mix import load as mix
from hapenny.simulation.workload.shoppers import Population
from hapenny.simulation.workload.truth_file import load, save


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    messages = Population(mix()).messages(60)
    path = tmp_path / "truth.jsonl"
    assert save(path, ((each.text, each.follows, each.item) for each in messages)) == 60
    truth = load(path)
    for message in messages:
        earlier = [message.follows] if message.follows else []
        known = truth.find(message.text, earlier, [message.content])
        assert known is not None
        assert known[0].id.split("/")[0] == message.item.id.split("/")[0]
        assert known[1] is True


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text('\n{"question": "x"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"truth: .*, line 2: .*item.* Fix: write it anew"):
        load(path)
    with pytest.raises(ValueError, match="Fix: give a file that can be read"):
        load(tmp_path / "none")
