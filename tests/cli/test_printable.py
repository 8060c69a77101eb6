"""Text of clients does nothing in a terminal or a spreadsheet."""

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hapenny.cli.main import main
from hapenny.cli.printable import cell, printable
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
