"""The card current-2026: the present Claude and Nova generation.

For Nova the makers' tables are public; for the newest Claude models no table of grounded answers or single tool calls
is: their figures are assumed, none below its predecessor's. Latencies are assumed but where noted.
"""

from __future__ import annotations

from typing import Literal

from hapenny.simulation.card import Lineup, SimulatedModel
from hapenny.simulation.card_2024 import HUMANEVAL, SHARED, SHARED_SOURCES, shares, sources
from hapenny.simulation.workload.truth import Kind

_DROP = (
    "F1 on DROP (Amazon's table, llm-leaderboard @ 24a9ccf) carried over to RACE-H by the three Claude 3 models that "
    "have both, linear in normal quantiles"
)
_TOOLS = (
    "overall score on BFCL v3 (jakemanger/whatmodel, November 2026) carried over to the figure of manga-2024 by "
    "Claude 3 Opus, which has both, at equal distance in normal quantiles"
)
_REASONING = "mean of GSM8K and BBH, Amazon's table, in llm-leaderboard @ 24a9ccf"
_COMET = (
    "assumed; COMET22 from and into English is .885 to .891 for the three (Amazon's table, llm-leaderboard @ 24a9ccf)"
)
_PRO = "stand-in: Nova Pro; both are faithful in 94.9 % (vectara/hallucination-leaderboard @ 2e09859)"
_NEWER = "assumed: not below its predecessor; no public table"
_NOVA = {"grounded": _DROP, "tools": _TOOLS, "reasoning": _REASONING, "code": HUMANEVAL, "translation": _COMET}
_CLAUDE = dict.fromkeys(("grounded", "tools", "reasoning", "code", "translation"), _NEWER)


def _model(
    id: str,
    tier: Literal["fast", "balanced", "strong", "max"],
    ttft: float,
    rate: float,
    correctness: dict[Kind, float],
    own: dict[str, str],
    judge_error: float = 0.05,
) -> SimulatedModel:
    return SimulatedModel(
        id=id,
        tier=tier,
        ttft_p50=ttft,
        ttft_p95=round(1.53 * ttft, 3),
        rate_p50=rate,
        rate_p95=0.75 * rate,
        correctness=correctness,
        judge_error=judge_error,
        sources=sources(**own),
    )


CURRENT_2026 = Lineup(
    name="current-2026",
    date="2026-11-30",
    baseline="anthropic.claude-sonnet-5-5",
    shared=SHARED,
    sources=SHARED_SOURCES,
    models=(
        _model(
            "anthropic.claude-haiku-5-5", "fast", 0.3, 160, shares(0.965, 0.955, 0.965, 0.955, 0.970, 0.990, 0.990),
            _CLAUDE,
        ),
        _model(
            "amazon.nova-2-lite-v1:0", "balanced", 0.35, 140, shares(0.950, 0.945, 0.950, 0.930, 0.945, 0.990, 0.980),
            {**_CLAUDE, "grounded": _PRO, "tools": "stand-in: Nova Pro"},
        ),
        _model(
            "anthropic.claude-sonnet-5-5", "strong", 0.6, 80, shares(0.975, 0.965, 0.975, 0.970, 0.980, 0.992, 0.990),
            _CLAUDE,
        ),
        _model(
            "anthropic.claude-opus-5-5", "max", 0.9, 50, shares(0.980, 0.970, 0.980, 0.975, 0.985, 0.992, 0.990),
            _CLAUDE,
        ),
        _model(
            "amazon.nova-micro-v1:0", "fast", 0.2, 200, shares(0.887, 0.914, 0.859, 0.811, 0.930, 0.985, 0.970),
            _NOVA, 0.134,
        ),
        _model(
            "amazon.nova-lite-v1:0", "fast", 0.25, 170, shares(0.898, 0.929, 0.885, 0.854, 0.935, 0.985, 0.975),
            _NOVA, 0.1,
        ),
        _model(
            "amazon.nova-pro-v1:0", "balanced", 0.4, 100, shares(0.950, 0.945, 0.909, 0.890, 0.940, 0.990, 0.980),
            _NOVA, 0.075,
        ),
        _model(
            "anthropic.claude-haiku-4-5-20251001-v1:0", "fast", 0.35, 130,
            shares(0.965, 0.945, 0.955, 0.950, 0.965, 0.990, 0.985), _CLAUDE, 0.075,
        ),
        _model(
            "anthropic.claude-sonnet-4-6", "strong", 0.6, 75, shares(0.970, 0.955, 0.965, 0.960, 0.975, 0.990, 0.990),
            _CLAUDE,
        ),
    ),
)  # fmt: skip
