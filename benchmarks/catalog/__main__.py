"""`python -m benchmarks.catalog [--data PRICES.json] [--json]`

Compares every price of the catalog with genai-prices and, if given (or named by HAPENNY_PRICES), with a price file in
LiteLLM's form; lists each disagreement with our reason. Exits with 1 where one has none.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.arguments import parse
from benchmarks.catalog.compare import Comparison, compare
from benchmarks.catalog.listings import Genai, PriceFile, Table
from hapenny.catalog import default


def report(compared: Comparison) -> dict[str, Any]:
    """One comparison as plain data."""
    return {
        "prices": compared.prices,
        "held": compared.held,
        "compared_share": round(compared.held / compared.prices, 4) if compared.prices else 0.0,
        "rates": compared.rates,
        "unexplained": len(compared.unexplained),
        "disagreements": [each._asdict() for each in compared.disagreements],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.catalog")
    parser.add_argument("--data", "--prices", dest="data", type=Path, help="a price file in LiteLLM's form")
    parser.add_argument("--json", action="store_true")
    arguments = parse(parser)
    path = arguments.data or os.environ.get("HAPENNY_PRICES")
    tables: list[Table] = [Genai()]
    if path:
        tables.append(PriceFile(path))
    catalog = default()
    comparisons = [compare(catalog, table) for table in tables]
    if arguments.json:
        print(json.dumps({"date": catalog.date, "tables": {each.table: report(each) for each in comparisons}}))
    else:
        for each in comparisons:
            print(
                f"{each.table}: {each.held} of {each.prices} prices held there too, {each.rates} rates compared, "
                f"{len(each.disagreements)} differ, {len(each.unexplained)} without a reason"
            )
            for one in sorted(each.disagreements, key=lambda one: (one.reason, one.model)):
                print(
                    f"  {one.model} {one.place} {one.tier} {one.rate}: {one.ours or 'unknown'} here, "
                    f"{one.theirs or 'none'} there: {one.reason or 'NO REASON'}"
                )
    return 1 if any(each.unexplained for each in comparisons) else 0


if __name__ == "__main__":
    sys.exit(main())
