"""Windows of budgets: days and months of a calendar, rolling spans."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.admission.windows import parse, span


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("window", "zone", "now", "begins", "ends"),
    [
        ("day", "UTC", "2026-11-30T14:00", "2026-11-30T00:00", "2026-12-01T00:00"),
        ("month", "UTC", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("day", "Asia/Tokyo", "2026-11-30T00:00", "2026-11-30T00:00", "2026-12-01T00:00"),
        ("day", "Europe/Dublin", "2026-03-29T12:00", "2026-03-29T00:00", "2026-03-30T00:00"),
        ("day", "Europe/Dublin", "2026-10-25T12:00", "2026-10-25T00:00", "2026-10-26T00:00"),
        ("month", "America/New_York", "2028-02-29T08:00", "2028-02-01T00:00", "2028-03-01T00:00"),
    ],
)  # fmt: skip
def test_calendar_windows_begin_where_the_day_begins_there(window, zone, now, begins, ends):
    current = span(parse(window), at(now, zone), ZoneInfo(zone))
    assert current.first == current.slice == at(begins, zone)
    assert current.ends == at(ends, zone)


@given(st.sampled_from(["90m", "24h", "7d", "1h", "61m"]), st.floats(1.7e9, 1.9e9), st.floats(0, 1))
def test_a_rolling_window_counts_all_that_is_inside(text, now, share):
    window = parse(text)
    then = now - share * window.seconds
    assert span(window, then, UTC).slice >= span(window, now, UTC).first
    assert span(window, now - 1.1 * window.seconds, UTC).slice < span(window, now, UTC).first


@pytest.mark.parametrize("text", ["", "week", "0h", "30s", "5y", "-1d", "1000000d", "day "])
def test_what_is_no_window_is_refused(text):
    with pytest.raises(ValueError, match="window"):
        parse(text)
