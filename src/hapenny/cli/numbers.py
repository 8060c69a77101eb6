"""Numbers of the command line that have to be finite: `nan` and `inf` pass click's ranges."""

from __future__ import annotations

import math
from typing import Any

import click


class Positive(click.FloatRange):
    """A number above 0 and at most `most`."""

    def __init__(self, most: float = 1e15) -> None:
        super().__init__(min=0, min_open=True, max=most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number. Refuses what is none."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number", param, ctx)
        return number


MOST_TOKENS = 100_000_000
"""The largest limit of an answer that a plan is made for."""
