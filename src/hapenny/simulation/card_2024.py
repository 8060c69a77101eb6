"""The card manga-2024: the models of the reference application, Claude 3 and 3.5, as published outcomes show them.

Measured where outcomes by prompt are public (`make_tables` reads them again); else the makers' own tables; a model that
a table lacks takes the figure of one that equals it elsewhere, and that is said.
"""

from __future__ import annotations

from hapenny.simulation.card import ANSWER, ASSUMED, Lineup, SimulatedModel
from hapenny.simulation.workload.truth import Kind

RACE = "RACE-H, 5-shot: reading for one answer; Claude 3 model card, in nikostro/benchmark-extractor @ f5a7010"
BFCL = (
    "BFCL 2024-08-11, per-item scores, HuanzhiMao/BFCL-Result @ b4adfc9: .9 x one call (simple, multiple: 600 items) "
    "+ .1 x no tool fits (240 items), the better of function calling and prompting; the weights are assumed"
)
GSM = "mean of GSM8K and MGSM, makers' tables, in JonathanChavezTamales/llm-leaderboard @ 24a9ccf"
HUMANEVAL = "HumanEval, makers' tables, in JonathanChavezTamales/llm-leaderboard @ 24a9ccf"
JUDGE = (
    "RewardBench, allenai/reward-bench-results, eval-set: one less the mean of mt-bench-easy, mt-bench-med and "
    "llmbar-natural"
)
FASTEST = "fixie-ai/thefastest.ai @ e9016e5, region iad, 2024-05-03; p95 = 1.53 x p50 as ssong1/llmperf-bedrock found"
RATE = "fixie-ai/thefastest.ai @ e9016e5, region iad, 2024-05-03; p95 = .75 x p50 assumed"
ORDER = "assumed: a point or less apart; order as in lmg-anon/vntl-leaderboard (Japanese to English)"

SHARED: dict[Kind, float] = {
    "grounded": 0.7, "tools": 0.65, "small_talk": 0.5, "reasoning": 0.8, "code": 0.72, "translation": 0.7,
    "refusal": 0.5,
}  # fmt: skip
SHARED_SOURCES = {
    "grounded": "assumed, between the measured ones",
    "tools": "median of the pairs of Claude 3 and 3.5 on 600 items of BFCL-Result @ b4adfc9 (all pairs: .62)",
    "small_talk": ASSUMED,
    "reasoning": "median of 66 pairs on 641 items of GSM8K in ZeroEval, WildEval/ZeroEval @ 8c1485e",
    "code": "median of 66 pairs on 402 items of CRUXEval in ZeroEval, WildEval/ZeroEval @ 8c1485e",
    "translation": "assumed, between the measured ones",
    "refusal": ASSUMED,
}


def shares(
    grounded: float, tools: float, reasoning: float, code: float, translation: float, small_talk: float, refusal: float
) -> dict[Kind, float]:
    """Shares of right answers by kind of work."""
    return {
        "grounded": grounded, "tools": tools, "small_talk": small_talk, "reasoning": reasoning, "code": code,
        "translation": translation, "refusal": refusal,
    }  # fmt: skip


def sources(**own: str) -> dict[str, str]:
    """Sources of a model's figures: assumed but for those given; a p95 has its p50's."""
    names = ("ttft_p50", "rate_p50", "output_p95", "rpm", "tpm", "judge_error")
    kinds = ("grounded", "tools", "small_talk", "reasoning", "code", "translation", "refusal")
    figures = dict.fromkeys((*names, *kinds), ASSUMED) | {"output_p50": ANSWER} | own
    return figures | {"ttft_p95": figures["ttft_p50"], "rate_p95": figures["rate_p50"]}


_MEASURED = {
    "grounded": RACE, "tools": BFCL, "reasoning": GSM, "code": HUMANEVAL, "translation": ORDER, "judge_error": JUDGE,
    "ttft_p50": FASTEST, "rate_p50": RATE,
}  # fmt: skip

MANGA_2024 = Lineup(
    name="manga-2024",
    date="2026-11-30",
    baseline="anthropic.claude-3-sonnet-20240229-v1:0",
    shared=SHARED,
    sources=SHARED_SOURCES,
    models=(
        SimulatedModel(
            id="anthropic.claude-3-haiku-20240307-v1:0",
            tier="fast",
            ttft_p50=0.364,
            ttft_p95=0.557,
            rate_p50=223,
            rate_p95=167,
            correctness=shares(0.870, 0.875, 0.820, 0.759, 0.930, 0.985, 0.970),
            judge_error=0.134,
            rpm=1000,
            tpm=2_000_000,
            sources=sources(**_MEASURED),
        ),
        SimulatedModel(
            id="anthropic.claude-3-5-haiku-20241022-v1:0",
            tier="balanced",
            ttft_p50=0.6,
            ttft_p95=0.92,
            rate_p50=50,
            rate_p95=37,
            correctness=shares(0.929, 0.933, 0.897, 0.881, 0.945, 0.990, 0.980),
            judge_error=0.075,
            rpm=1000,
            tpm=2_000_000,
            sources=sources(
                grounded="stand-in: Claude 3 Opus, which has the same F1 on DROP, .831 (llm-leaderboard @ 24a9ccf)",
                tools="stand-in: Claude 3 Opus; on tau-bench retail, .510, it is above any Claude 3",
                reasoning="mean of GSM8K in ZeroEval @ 8c1485e, .938 on 641 items, and MGSM, .856, maker's table",
                code=HUMANEVAL,
                translation=ORDER,
                judge_error="stand-in: Claude 3 Sonnet",
                ttft_p50="vercel.com/ai-gateway, Amazon Bedrock, read 2026-11-30; p95 = 1.53 x p50",
                rate_p50="vercel.com/ai-gateway, Amazon Bedrock, read 2026-11-30; p95 = .75 x p50 assumed",
            ),
        ),
        SimulatedModel(
            id="anthropic.claude-3-sonnet-20240229-v1:0",
            tier="strong",
            ttft_p50=0.454,
            ttft_p95=0.695,
            rate_p50=81,
            rate_p95=61,
            correctness=shares(0.888, 0.881, 0.879, 0.730, 0.950, 0.990, 0.980),
            judge_error=0.075,
            rpm=500,
            tpm=1_000_000,
            sources=sources(**_MEASURED),
        ),
        SimulatedModel(
            id="anthropic.claude-3-opus-20240229-v1:0",
            tier="max",
            ttft_p50=0.846,
            ttft_p95=1.294,
            rate_p50=32,
            rate_p95=24,
            correctness=shares(0.929, 0.933, 0.929, 0.849, 0.960, 0.990, 0.985),
            judge_error=0.075,
            rpm=50,
            tpm=400_000,
            sources=sources(**{**_MEASURED, "judge_error": "stand-in: Claude 3 Sonnet"}),
        ),
    ),
)
