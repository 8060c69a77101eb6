"""Courses over time: what stands beside the lines, where all of a drawing is in sight and where only its end is."""

import re

from hapenny.console.html.lines import Line, lines

HOURS = [1_796_000_400.0 + 3600 * hour for hour in range(6)]


def drawn(**more):
    return lines(
        HOURS, [Line("whole", "s0", [1.0, 2.0, None, 2.5, 2.0, 1.5])], "Speed", lambda value: f"{value:g} s", **more
    )


def texts(drawing, kind):
    return re.findall(rf'<text class="{kind}"[^>]*>([^<]+)</text>', drawing)


def test_levels_can_be_read_at_both_ends():
    drawing = drawn()
    levels = texts(drawing, "tick")[: len(texts(drawing, "tick inner"))]
    assert len(levels) > 2
    assert texts(drawing, "tick inner") == levels


def test_a_limit_and_a_level_do_not_stand_on_each_other():
    drawing = drawn(limits=[(2.0, "limit")])
    assert texts(drawing, "limit-name") == ["limit"]
    assert "2 s" in texts(drawing, "tick")
    assert "2 s" not in texts(drawing, "tick inner")
    assert "1 s" in texts(drawing, "tick inner")


def test_nothing_known_is_said():
    assert "Nothing in this range" in lines(HOURS, [Line("whole", "s0", [None] * 6)], "Speed", str)
