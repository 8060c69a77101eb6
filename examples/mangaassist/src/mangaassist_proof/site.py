"""`python -m mangaassist_proof.site RESULT.json FOLDER`: the documentation's pictures of what a benchmark measured.

RESULT is what `python -m benchmarks.mangaassist --json` printed. FOLDER gets `measured.json`, the figures that are kept
and how they were measured, and `savings.svg` and `latency-budget.svg`, drawn of them alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mangaassist_proof.drawings import gantt, pies

KEPT = (
    "draws", "card", "mix", "baseline_usd_month", "actual_usd_month", "saved_share", "saved_by_draw", "pie",
    "by_technique", "p95_ms", "ttft_p95_ms", "under_3s_share", "useful_under_3s_share", "rejected_share",
    "degraded_share", "errors", "lost_messages", "identity_violations", "latency_budget", "seed", "not_reached",
    "by_step", "leave_one_out", "at_card_rates", "templates", "learning", "burst",
)  # fmt: skip
QUALITY = ("baseline", "actual", "diff", "diff_ci95", "noninferior_1pt", "worst_draw_diff", "distinct", "messages")


def measured(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the documentation keeps of a result."""
    figures = {name: result[name] for name in KEPT}
    return figures | {"quality": {name: result["quality"][name] for name in QUALITY}}


def pictures(figures: Mapping[str, Any]) -> dict[str, str]:
    """The pictures of kept figures, by the names of their files."""
    return {
        "savings.svg": pies(figures["pie"], figures["seed"]["pie"]) + "\n",
        "latency-budget.svg": gantt(figures["latency_budget"]) + "\n",
    }


def main(arguments: list[str]) -> None:
    """Writes the files."""
    result, folder = Path(arguments[0]), Path(arguments[1])
    figures = measured(json.loads(result.read_text(encoding="utf-8").strip().splitlines()[-1]))
    (folder / "measured.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for name, drawing in pictures(figures).items():
        (folder / name).write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
