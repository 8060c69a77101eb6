"""The error a wrong configuration is."""

from __future__ import annotations


class ConfigError(ValueError):
    """The configuration is wrong. `problems` are lines of `path: what is wrong. Fix: what to change`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
