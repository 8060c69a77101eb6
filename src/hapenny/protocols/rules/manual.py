"""The table of service rules as a page shows it: `python -m hapenny.protocols.rules.manual`."""

from __future__ import annotations

from hapenny.protocols.rules.table import RULES

HEAD = "| rule | services | what becomes of it | source, date |\n|---|---|---|---|\n"


def markdown() -> str:
    """Every rule: who has it, whether it is mended or refused, and who says so."""
    rows = []
    for one in RULES.values():
        done = f"refused: {one.fix}" if one.how == "refuse" else "mended"
        if one.always:
            done += ", in the service's own dialect too"
        rows.append(f"| `{one.name}` | {', '.join(one.words)} | {done} | {one.source}, {one.date} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    print(markdown(), end="")
