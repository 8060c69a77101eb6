"""Whole strategies as commented configurations: `hapenny init --preset NAME` writes one."""

from __future__ import annotations

from importlib import resources
from typing import Literal, TypeAlias, get_args

from hapenny.config.starter import geography

Strategy: TypeAlias = Literal["realtime", "documents", "own-fleet", "bedrock", "hybrid"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
"""`realtime`: conversation; `documents` in high volume; `own-fleet` of vLLM servers; `bedrock` only; `hybrid`: both."""


def strategy_text(strategy: Strategy, region: str = "us-east-1") -> str:
    """The configuration, complete but for secrets and names of your own.

    Args:
        strategy: which.
        region: of Bedrock; its geography names the inference profiles.
    """
    text = resources.files("hapenny.config").joinpath("strategies", f"{strategy}.yaml").read_text("utf-8")
    return text.replace("@region@", region).replace("@geo@", geography(region))
