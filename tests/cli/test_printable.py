"""Text of clients does nothing in a terminal or a spreadsheet."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hapenny.cli import main as main_module
from hapenny.cli.main import main
from hapenny.cli.printable import cell, escaped, printable
from hapenny.core.clock import RealClock
from hapenny.telemetry.ledger import Ledger, LedgerOptions
from tests.telemetry import made


@given(st.text())
def test_nothing_printable_holds_a_control_character(text):
    assert not [one for one in printable(text) if (ord(one) < 32 and one not in "\t\n") or 127 <= ord(one) < 160]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\x00=1", "＝1"])
def test_no_cell_is_a_formula(text):
    assert cell(text).startswith("'")


def test_an_ordinary_cell_stays_as_it_is():
    assert cell("user: what is 1 + 1?\nassistant: 2") == "user: what is 1 + 1?\nassistant: 2"


async def test_the_report_prints_no_escape_sequence_and_no_markup_of_a_client(tmp_path):
    clock = made.Clock()
    book = made.books(clock)
    ledger = Ledger(LedgerOptions(path=str(tmp_path / "l.db")), RealClock())
    for feature in ("a\x1b]0;owned\x07\x1b[31mred\x1b[2J", "[/b]broken[b]"):
        ex = made.exchange(clock, feature=feature)
        ex.step("exact", free=True)
        made.deliver(ex)
        ledger.write(book.close(ex))
    await ledger.aclose()
    done = CliRunner().invoke(main, ["report", "--ledger", str(tmp_path / "l.db"), "--since", "36500d"])
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    assert "[/b]broken[b]" in done.output


HOSTILE = "x\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp"
"""A title, a cleared screen, a colour by one byte, and text that runs backwards."""


def test_json_reads_back_what_a_terminal_does_not_obey():
    text = msgspec.json.encode({"feature": HOSTILE}).decode()
    assert not [one for one in escaped(text) if ord(one) < 32 or 127 <= ord(one) < 160 or one == "\u202e"]
    assert msgspec.json.decode(escaped(text)) == {"feature": HOSTILE}


def test_documents_that_are_found_are_shown_as_plain_text(tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_bytes(msgspec.json.encode({"id": HOSTILE, "title": HOSTILE, "text": f"the toll bridge {HOSTILE}"}))
    folder = str(tmp_path / "index")
    built = CliRunner().invoke(main, ["index", "build", folder, str(file), "--embedder", "hashed"])
    assert built.exit_code == 0, built.output
    shown = CliRunner().invoke(main, ["index", "search", folder, "toll bridge"])
    assert shown.exit_code == 0, shown.output
    assert "toll bridge" in shown.output
    for output in (built.output, shown.output):
        assert not [
            one for one in output if (ord(one) < 32 and one != "\n") or 127 <= ord(one) < 160 or one == "\u202e"
        ]


def test_verbs_print_through_what_makes_it_printable():
    """A new verb that shows what others wrote does it by `say` or `say_json`."""
    own_words = {"serve", "simulate", "demo", "setup", "options", "console", "keys", "pause", "registry", "printable"}
    raw = {
        module.stem: module.read_text().count("click.echo(")
        for module in Path(main_module.__file__).parent.glob("*.py")
        if module.stem not in own_words
    }
    assert {name: count for name, count in raw.items() if count} == {
        "batch": 1,
        "bench": 2,
        "report": 2,
    }  # bytes of a file; a line of progress and its end; JSON, a path
