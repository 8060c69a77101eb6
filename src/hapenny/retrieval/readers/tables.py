"""Tables in text: CSV with any delimiter and quoting. Numbers are numbers only where a whole column is."""

from __future__ import annotations

import csv
import io
import itertools
import re
from typing import Any

_DELIMITERS = ",;\t|"
_SAMPLE = 50
_ONE_COLUMN = "\x1f"
"""A delimiter that no text holds."""
_LARGEST_CELL = 1 << 27
_LOOKED_AT = 20_000
"""Characters in which quotes are looked for."""
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?")


def table_rows(text: str, delimiter: str = "") -> list[dict[str, Any]]:
    """Rows of a table whose first line names the columns; empty cells are left out.

    Lines before the head that begin with `#` are comments, unless they are as wide as what follows. A cell beyond the
    named columns, or under an empty name, is `column_N`; a repeated name gets a counter. A column holds numbers if all
    its cells are numbers as they are usually written: `00017` stays a text, and so does its column; so do versions, of
    which `1.10` is not `1.1`.
    """
    csv.field_size_limit(_LARGEST_CELL)
    text, named = _separator_line(_without_comments(text))
    delimiter = delimiter or named or _delimiter(text)
    lines = [row for row in _reader(text, delimiter) if any(cell.strip() for cell in row)]
    if len(lines) < 2:
        return []
    names = _names(lines[0], max(map(len, lines)))
    numeric = [
        names[at] not in ("id", "title")
        and _numbers([cell for row in lines[1:] if at < len(row) and (cell := row[at].strip())])
        for at in range(len(names))
    ]
    return [
        {
            names[at]: float(cell) if numeric[at] else cell.strip()
            for at, cell in enumerate(row)
            if cell.strip()
        }
        for row in lines[1:]
    ]  # fmt: skip


def _numbers(cells: list[str]) -> bool:
    """Whether all cells are numbers; a 0 that ends one behind the point is then the precision that others have too."""
    if not all(map(_NUMBER.fullmatch, cells)):
        return False
    broken = [cell for cell in cells if "." in cell]
    return len({len(cell.partition(".")[2]) for cell in broken}) < 2 or not any(cell.endswith("0") for cell in broken)


def _reader(text: str, delimiter: str) -> Any:
    escaped = '\\"' in text and '""' not in text
    return csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar="'" if '"' not in text and _quoted_by_apostrophes(text, delimiter) else '"',
        doublequote=not escaped,
        escapechar="\\" if escaped else None,
        skipinitialspace=True,
    )


def _delimiter(text: str) -> str:
    """The delimiter under which most of the first rows are as wide as the head, and that wider than one. One that no
    text holds where the head is a single column: commas are then those of its sentences."""

    def fits(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in itertools.islice(_reader(text, delimiter), _SAMPLE) if row]
        if not widths or widths[0] < 2:
            return 0, 0
        return sum(width == widths[0] for width in widths), widths[0]

    best = max(_DELIMITERS, key=fits)
    return best if fits(best)[0] else _ONE_COLUMN


def _quoted_by_apostrophes(text: str, delimiter: str) -> bool:
    """Whether cells begin and end with an apostrophe: they quote, and are not those of words ('twas, the dogs')."""
    sample = text[:_LOOKED_AT]
    if not any(f"{before}'" in f"\n{sample}" for before in ("\n", delimiter)) or not any(
        f"'{after}" in f"{sample}\n" for after in ("\n", delimiter)
    ):
        return False
    plain = list(csv.reader(io.StringIO(sample.rpartition("\n")[0] or sample), delimiter=delimiter))
    even = len({len(row) for row in plain if row}) == 1
    return not even or not any(cell.startswith("'") != cell.endswith("'") for row in plain for cell in row)


def _without_comments(text: str) -> str:
    """The text from its head on: without blank lines, and lines of `#` that are no head, before it."""
    lines = re.finditer("[^\n]+", text)  # not cut off one by one: each cut copies all that follows
    line = next(lines, None)
    while line is not None and line[0].startswith("#"):
        after = next(lines, None)
        following = after[0] if after is not None else ""
        widths = [(line[0].count(each), following.count(each)) for each in _DELIMITERS]
        if any(own and own == other for own, other in widths) or not any(other for _, other in widths):
            break
        line = after
    return text[line.start() :] if line is not None else ""


def _separator_line(text: str) -> tuple[str, str]:
    """Excel's `sep=;` as a first line: the text behind it, and the delimiter it names."""
    first, _, rest = text.partition("\n")
    separator = first.strip().strip('"')
    if separator.lower().startswith("sep=") and len(separator) == 5:
        return rest, separator[4]
    return text, ""


def _names(head: list[str], width: int) -> list[str]:
    names: list[str] = []
    for at in range(width):
        name = head[at].strip() if at < len(head) and head[at].strip() else f"column_{at + 1}"
        names.append(name if name not in names else f"{name}_{names.count(name) + at + 1}")
    return names
