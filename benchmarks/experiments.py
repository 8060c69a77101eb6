"""Experiments: false alarms under constant peeking, power, coverage, sample-ratio alarms, equality with statsmodels.

`python -m benchmarks.experiments --json [--quick] [--records FILE]`; no data needed; fixed seeds. Every run of an A/A
or A/B test draws 10,000 users, puts each into an arm by a fair coin and looks after every single observation.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.arguments import parse
from hapenny.evidence import adjust, bounds, horizon, ratio, sequential

HORIZON = 5_000
BASE = 0.80
Floats = npt.NDArray[np.float64]


def peek(rng: np.random.Generator, runs: int, effect: float, planned: dict[str, Floats]) -> dict[str, Floats]:
    """Per run: the first look at which each rule rejected (0: never), and whether the sequence ever missed `effect`."""
    looks = 2 * HORIZON
    found: dict[str, list[Floats]] = {name: [] for name in ("any_time", "open_ended", "naive", "missed", *planned)}
    for start in range(0, runs, 100):
        size = min(100, runs - start)
        in_b = rng.random((size, looks)) < 0.5
        hit = rng.random((size, looks)) < np.where(in_b, BASE + effect, BASE)
        n_b = in_b.cumsum(axis=1, dtype=np.float64)
        n_a = np.arange(1, looks + 1) - n_b
        p_b = (hit & in_b).cumsum(axis=1) / np.maximum(n_b, 1)
        p_a = (hit & ~in_b).cumsum(axis=1) / np.maximum(n_a, 1)
        variance = p_a * (1 - p_a) / np.maximum(n_a, 1) + p_b * (1 - p_b) / np.maximum(n_b, 1)
        usable = (n_a >= 2) & (n_b >= 2) & (variance > 0)
        error = np.sqrt(np.where(usable, variance, 1.0))
        z = np.where(usable, (p_b - p_a) / error, 0.0)
        information = 2 * n_a * n_b / np.maximum(n_a + n_b, 1)
        limit = sequential.threshold_any_time(information, HORIZON)
        found["any_time"].append(first(np.abs(z) >= limit))
        found["open_ended"].append(first(np.abs(z) >= sequential.threshold_any_time(information, None)))
        found["naive"].append(first((np.abs(z) >= 1.959964) & (n_a >= 30) & (n_b >= 30)))
        far = np.where(usable, np.abs(p_b - p_a - effect) / error, 0.0)
        found["missed"].append(first(far > limit))
        for name, thresholds in planned.items():
            stops = (np.arange(1, len(thresholds) + 1) * looks // len(thresholds)) - 1
            found[name].append(first(np.abs(z[:, stops]) >= thresholds))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def first(rejected: npt.NDArray[np.bool_]) -> Floats:
    at = rejected.argmax(axis=1) + 1
    return np.where(rejected.any(axis=1), at, 0).astype(np.float64)


def replay_saving(rng: np.random.Generator, runs: int) -> float:
    """Share of observations that paired replay saves against two arms, for equal width, at a correlation of .6."""
    widths = []
    for _ in range(runs):
        hard = rng.random(2_000)
        a = (rng.random(2_000) < np.where(hard < 0.7, 0.95, 0.45)).astype(np.float64)
        same = rng.random(2_000) < 0.6
        b = np.where(same, a, rng.random(2_000) < np.where(hard < 0.7, 0.96, 0.47))
        pair, apart = horizon.paired(a, b), horizon.welch(a, b)
        widths.append(((pair.high - pair.low) / (apart.high - apart.low)) ** 2)
    return 1 - float(np.mean(widths))


def against_statsmodels(rng: np.random.Generator, cases: int) -> float:
    """Largest difference between our fixed-horizon results and statsmodels' over random cases."""
    from scipy import stats
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.power import NormalIndPower
    from statsmodels.stats.proportion import proportion_confint, proportions_ztest
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    worst = 0.0

    def compare(ours: Any, theirs: Any) -> None:
        nonlocal worst
        worst = max(worst, float(np.max(np.abs(np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)))))

    for _ in range(cases):
        n_a, n_b = (int(v) for v in rng.integers(50, 5_000, 2))
        k_a, k_b = int(rng.binomial(n_a, 0.8)), int(rng.binomial(n_b, 0.82))
        ours = horizon.two_proportions(k_a, n_a, k_b, n_b)
        compare((ours.statistic, ours.p_value), proportions_ztest([k_b, k_a], [n_b, n_a]))
        low, high = bounds.clopper_pearson(k_a, n_a)
        compare((low, high), proportion_confint(k_a, n_a, method="beta"))
        low, high = bounds.wilson(k_a, n_a)
        compare((low, high), proportion_confint(k_a, n_a, method="wilson"))
        x, y = rng.normal(0, 1, n_a % 300 + 5), rng.normal(0.1, 2, n_b % 300 + 5)
        test = horizon.welch(x, y)
        means = CompareMeans(DescrStatsW(y), DescrStatsW(x))
        compare((test.statistic, test.p_value), means.ttest_ind(usevar="unequal")[:2])
        compare((test.low, test.high), means.tconfint_diff(usevar="unequal"))
        size = min(len(x), len(y))
        pair = horizon.paired(x[:size], y[:size])
        compare((pair.statistic, pair.p_value), DescrStatsW(y[:size] - x[:size]).ttest_mean()[:2])
        effect = float(rng.uniform(0.01, 0.2))
        compare(horizon.power(effect, 1.0, n_a, n_b), NormalIndPower().power(effect, n_a, 0.05, n_b / n_a))
        p = rng.random(6) ** 3
        compare(adjust.holm(p), multipletests(p, method="holm")[1])
        counts = rng.multinomial(5_000, [0.5, 0.3, 0.2])
        compare(
            ratio.srm_p_value(counts, (0.5, 0.3, 0.2)),
            stats.chisquare(counts, 5_000 * np.array([0.5, 0.3, 0.2])).pvalue,
        )
    return worst


def run(quick: bool, records: Path | None) -> dict[str, Any]:
    runs = 1_000 if quick else 10_000
    looks = [0.2, 0.4, 0.6, 0.8, 1.0]
    planned = {
        "planned_5_obrien_fleming": np.array(sequential.planned_boundaries(looks)),
        "planned_5_pocock": np.array(sequential.planned_boundaries(looks, kind="pocock")),
    }
    found = {}
    for name, effect, count in (("aa", 0.0, runs), ("2pp", 0.02, runs // 5), ("3pp", 0.03, runs // 5)):
        print(f"{name}: {count} runs", file=sys.stderr)
        found[name] = peek(np.random.default_rng(hash_of(name)), count, effect, planned)
    rng = np.random.default_rng(20_261_120)
    draws = 10_000 if quick else 100_000
    counts = rng.binomial(10_000, 0.5, draws)
    srm = ratio.srm_p_value(np.column_stack([counts, 10_000 - counts]), (1, 1)) < ratio.BLOCKING
    aa, two, three = found["aa"], found["2pp"], found["3pp"]
    rules = [name for name in aa if name != "missed"]
    if records:
        with records.open("w") as out:
            for kind, table in found.items():
                for i in range(len(table["any_time"])):
                    out.write(json.dumps({"kind": kind, "run": i, **{k: int(v[i]) for k, v in table.items()}}) + "\n")
            for i, alarm in enumerate(srm):
                out.write(json.dumps({"kind": "srm", "run": i, "count": int(counts[i]), "alarm": bool(alarm)}) + "\n")
    return {
        "fpr_peeking": share(aa["any_time"]),
        "power_2pp": share(two["any_time"]),
        "power_3pp": share(three["any_time"]),
        "coverage": 1 - share(np.concatenate([aa["missed"], two["missed"], three["missed"]])),
        "srm_fpr": float(srm.mean()),
        "against_statsmodels_max_abs_diff": against_statsmodels(np.random.default_rng(5), 20 if quick else 100),
        "base_rate": BASE,
        "horizon": HORIZON,
        "runs": runs,
        "rules": {
            name: {"fpr": share(aa[name]), "power_2pp": share(two[name]), "power_3pp": share(three[name])}
            for name in rules
        },
        "fixed_horizon_power": {
            "2pp": horizon.power_of_proportions(BASE, BASE + 0.02, HORIZON),
            "3pp": horizon.power_of_proportions(BASE, BASE + 0.03, HORIZON),
        },
        "mean_looks_share_3pp": float(np.where(three["any_time"] > 0, three["any_time"], 2 * HORIZON).mean())
        / (2 * HORIZON),
        "paired_replay_saves_share": replay_saving(np.random.default_rng(6), 20 if quick else 200),
    }


def share(first_look: Floats) -> float:
    return float((first_look > 0).mean())


def hash_of(name: str) -> int:
    return int.from_bytes(name.encode(), "big")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="accepted for symmetry; not used")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--records", type=Path)
    args = parse(parser)
    print(json.dumps(run(args.quick, args.records), indent=None if args.json else 1))


if __name__ == "__main__":
    main()
