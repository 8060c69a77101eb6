"""Inference servers side by side: what was measured of each by whom, and what is only assumed.

Figures of different rows are of different models and machines unless their source is the same: the source's setting
stands beside each. None is a promise for your traffic; `hapenny bench` measures that.
"""

from __future__ import annotations

from msgspec import Struct

ASSUMED = "assumed"


class Figure(Struct, frozen=True, kw_only=True):
    """A figure, or none, and where it comes from."""

    value: float | None
    unit: str
    source: str
    """Where it was published, or `assumed`."""
    setting: str = ""
    """Model, machine and load it holds for."""


class Engine(Struct, frozen=True, kw_only=True):
    """An inference server."""

    name: str
    throughput: Figure
    """Tokens of answers a second, of one server under load."""
    ttft: Figure
    p99: Figure
    """Milliseconds a token, 99th percentile."""
    start: Figure
    """Seconds from start to ready, weights at hand."""
    strength: str
    caution: str = ""


_RUNINFRA = "https://runinfra.ai/news/vllm-vs-sglang-vs-tensorrt-llm-benchmark (2026-06)"
_H100 = "Llama 3.1 8B on one H100"
_NOTES = "https://gitea.atomstorm.cn/zhukang/content-forge-vault 2026-03-19-llm-inference-benchmark (unverified)"
_A100 = "Llama 3 70B FP16 on four A100 80 GB, 512 in, 256 out, batch 64"
_VLLM_START = "https://github.com/vllm-project/vllm/issues/19824"


def _unknown(unit: str) -> Figure:
    return Figure(value=None, unit=unit, source=ASSUMED, setting="no figure of a stated setting is known")


ENGINES = (
    Engine(
        name="vLLM",
        throughput=Figure(value=5_333, unit="tokens/s", source=_RUNINFRA, setting=f"{_H100}, saturated"),
        ttft=Figure(value=514, unit="ms", source=_RUNINFRA, setting=f"{_H100}, 32 at once"),
        p99=Figure(value=52, unit="ms/token", source=_NOTES, setting=_A100),
        start=Figure(
            value=215, unit="s", source=_VLLM_START,
            setting="Llama 70B FP8 on eight GPUs, weights in the page cache; 155 s without the check of peer access",
        ),
        strength="paged attention and continuous batching: most throughput, widest choice of models",
    ),
    Engine(
        name="TGI",
        throughput=Figure(value=1_100, unit="tokens/s", source=_NOTES, setting=_A100),
        ttft=_unknown("ms"),
        p99=Figure(value=58, unit="ms/token", source=_NOTES, setting=_A100),
        start=Figure(value=120, unit="s", source=ASSUMED, setting="70B; loads weights, compiles little"),
        strength="easy to deploy and configure, at home with the Hugging Face hub",
        caution="in maintenance since March 2026 (the same source as vLLM's throughput)",
    ),
    Engine(
        name="TensorRT-LLM",
        throughput=_unknown("tokens/s"),
        ttft=Figure(value=235, unit="ms", source=_RUNINFRA, setting=f"{_H100}, 32 at once"),
        p99=_unknown("ms/token"),
        start=Figure(
            value=300, unit="s", source=ASSUMED, setting="70B with its engine built before; building one: 1,800 s"
        ),
        strength="compiled for the hardware: soonest first token below its ceiling; NVIDIA alone",
    ),
    Engine(
        name="Triton",
        throughput=Figure(value=920, unit="tokens/s", source=_NOTES, setting=f"{_A100}, TensorRT-LLM behind it"),
        ttft=_unknown("ms"),
        p99=Figure(value=70, unit="ms/token", source=_NOTES, setting=f"{_A100}, TensorRT-LLM behind it"),
        start=Figure(value=330, unit="s", source=ASSUMED, setting="70B: TensorRT-LLM's start and the model repository"),
        strength="many frameworks and models behind one server; ensembles with pre- and post-processing",
        caution="serves an engine (TensorRT-LLM, vLLM, ONNX): a platform rather than a rival of theirs",
    ),
)  # fmt: skip
