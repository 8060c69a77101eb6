"""The savings benchmark sends what providers take, and a run of protection without a step back has no figure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.protection.__main__ import told
from benchmarks.protection.scenes import Outcome
from benchmarks.savings import quality
from benchmarks.savings.clients import blocks, converse, temperature
from benchmarks.savings.traffic import Item

from hapenny.studies.player import Record
from hapenny.studies.virtual_run import Result


def call(id: str) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"id": id, "function": {"name": "book", "arguments": "{}"}}]}


def result(id: str, text: str | None) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": text}


def item(*messages: dict[str, Any]) -> Item:
    return Item("tau", "one", "system", [{"role": "user", "content": "book it"}, *messages], [])


def test_a_call_id_that_comes_again_is_another_one_and_each_result_follows_its_call() -> None:
    sent = blocks(
        item(call("a"), result("a", "full"), call("a"), result("a", "booked"), call("b"), result("b", "paid"))
    )
    parts = [part for message in sent for part in message["content"]]
    calls = [part["id"] for part in parts if part["type"] == "tool_use"]
    results = [part["tool_use_id"] for part in parts if part["type"] == "tool_result"]
    assert calls == results
    assert len(set(calls)) == 3


def test_a_result_without_text_is_sent_without_a_blank_block() -> None:
    for text in ("", " ", None):
        sent = converse(item(call("a"), result("a", text)))
        assert sent[-1]["content"] == [{"toolResult": {"toolUseId": "a", "content": []}}]


def test_a_model_that_takes_no_temperature_is_asked_without() -> None:
    assert temperature("anthropic.claude-3-sonnet-20240229-v1:0") == {"temperature": 0.0}
    assert temperature("auto") == {"temperature": 0.0}
    assert temperature("anthropic.claude-sonnet-5-5") == {}


def outcome(wrong: int, stepped_back: bool) -> Outcome:
    return Outcome(
        wrong=wrong, audit_share=0.02, stepbacks=int(stepped_back), suspensions=0, stepped_back=stepped_back,
        routed_share=0.3, after=100,
    )  # fmt: skip


def test_the_worst_of_the_runs_that_count_is_a_number_only_where_it_was_stepped_back() -> None:
    runs = [outcome(wrong, True) for wrong in range(18)]
    assert told("wrong30", [*runs, outcome(1, False), outcome(2, False)])["worst_of_18"] == 17
    assert told("wrong30", [*runs[:17], *[outcome(1, False)] * 3])["worst_of_18"] is None


def record(number: int, right: bool, **savings: int) -> Record:
    return Record(
        number=number, question=str(number), intent="price", language="en", how="new", at=0.0, right=right,
        savings=savings,
    )  # fmt: skip


def test_each_technique_stands_with_its_own_saving_and_loss_on_the_frontier() -> None:
    ours = [record(1, True, exact=50), record(2, False, tiers=80), record(3, True, tiers=80), record(4, True)]
    off = [record(1, True), record(2, True), record(3, False), record(4, False)]
    mine, theirs = (
        Result(records=each, bill=400, calls=4, card="", latents=1, virtual_s=1.0, cpu_s=1.0) for each in (ours, off)
    )
    messages: Any = [None] * 4
    seed = quality.Seed(messages, mine, theirs, {})
    levers = quality.levers([seed], 400)
    assert levers["exact"] == {"saved": 0.125, "loss": 0.0, "touched": 0.25}
    assert levers["tiers"] == {"saved": 0.4, "loss": 0.0, "touched": 0.5}  # one answer lost, one gained
    assert list(levers) == ["tiers", "exact"]


@pytest.mark.long
def test_seeds_are_played_by_processes_of_their_own(tmp_path: Path) -> None:
    command = "-m benchmarks.savings --json --requests 0 --seeds 1 --messages 30 --learning 30 --cards current-2026"
    done = subprocess.run(
        [sys.executable, *command.split(), "--data", str(tmp_path)], capture_output=True, check=True, text=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["seeds"] == 1
    assert told["quality"]["messages"] > 0
