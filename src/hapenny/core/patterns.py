"""Regular expressions that are compiled when they are first used.

A start compiles none of them: over all rooms that is a tenth of the time to import what `serve` loads, most of it for
sets of many characters (CJK), which many deployments never look for.
"""

from __future__ import annotations

import re
from typing import Any, cast


class LazyPattern:
    """Behaves like the compiled pattern, which it makes when it is first asked for something."""

    def __init__(self, source: str, flags: int) -> None:
        self._source = source
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what others look whether it is there (copying, say)
            raise AttributeError(name)
        found = getattr(re.compile(self._source, self._flags), name)
        setattr(self, name, found)  # from now on an attribute like any other
        return found


def pattern(source: str, flags: int = 0) -> re.Pattern[str]:
    """`re.compile(source, flags)`, put off until something is asked of it. For its methods: the functions of `re` do
    not take it."""
    return cast("re.Pattern[str]", LazyPattern(source, flags))
