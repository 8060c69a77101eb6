"""A ledger or a trace is read as requests: all of it, its newest, or a part."""

import pytest

from hapenny.studies.traffic_log import read
from hapenny.telemetry.figures import Scope
from tests.console.pages import made


def test_a_part_of_a_ledger_is_read(tmp_path):
    rows = made(tmp_path / "ledger.db", 200)
    clients = [row for row in rows if not row.background and row.outcome != "failed"]
    whole = read(tmp_path / "ledger.db")
    assert len(whole.rows) == len(clients)
    assert whole.start == clients[0].wall
    middle = clients[100].wall
    later = read(tmp_path / "ledger.db", Scope(since=middle, tenant="tenant-00"))
    assert len(later.rows) == sum(row.wall >= middle and row.tenant == "tenant-00" for row in clients)
    assert len(read(tmp_path / "ledger.db", most=10).rows) <= 10
    with pytest.raises(ValueError, match="no requests in this range"):
        read(tmp_path / "ledger.db", Scope(tenant="nobody"))
    trace = tmp_path / "day.csv"
    trace.write_text("timestamp_s,input_tokens,output_tokens\n0,500,80\n")
    with pytest.raises(ValueError, match="neither dates nor labels"):
        read(trace, Scope(tenant="nobody"))
