"""Times to the first token that `hapenny bench` tells are those that guidellm, aiperf and inference-perf measure.

All four ask the same simulated provider. The tools come from PyPI with `make loadtools`; a vocabulary of a few hundred
words stands in for the tokenizer that they would fetch: tokens are counted by the server.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_serve import serving

TOOLS = Path(os.environ.get("HAPENNY_LOADTOOLS", Path(__file__).parents[3] / ".venv-loadtools"))
MODEL = "anthropic.claude-haiku-5-5"
REQUESTS = 40
APART = 0.25
"""Times are drawn anew for each run: the medians of forty differ by some 8 % by chance."""

pytestmark = [pytest.mark.long]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    text = "ledger: null\nbackends: {sim: {kind: simulated, card: current-2026}}\n"
    with serving(tmp_path_factory.mktemp("cross"), text) as (_, url):
        yield url


@pytest.fixture(scope="module")
def ours(url):
    """Median milliseconds to the first token, by `hapenny bench`."""
    arguments = ["--model", MODEL, "--requests", str(REQUESTS), "--concurrency", "2", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "hapenny", "bench", url, *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)["time_to_first_token"]["p50"]


def tool(name, folder, *arguments):
    """Runs one; skips where it is not installed."""
    program = TOOLS / name / "bin" / name
    if not program.exists():
        pytest.skip(f"no {name}: make loadtools")
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HOME": str(vocabulary(folder))}
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=300, cwd=folder, env={**os.environ, **offline}
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2_000:]


def vocabulary(folder):
    """A tokenizer of words where Hugging Face's libraries look for those they fetched."""
    place = folder / "hf" / "hub" / "models--hapenny--words"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text("0000")
    kept = place / "snapshots" / "0000"
    kept.mkdir(parents=True, exist_ok=True)
    words = ["<unk>", "</s>", *map(chr, range(97, 123)), *map(str, range(200)), "what", "does", "it", "cost", "to"]
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "post_processor": None, "decoder": None,
        "added_tokens": [{"id": number, "content": words[number], **special} for number in range(2)],
        "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {w: n for n, w in enumerate(words)}, "unk_token": "<unk>"},
    }  # fmt: skip
    (kept / "tokenizer.json").write_text(json.dumps(tokenizer))
    options = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "eos_token": "</s>"}
    (kept / "tokenizer_config.json").write_text(json.dumps({**options, "model_max_length": 100_000}))
    return folder / "hf"


def prompts(folder, field):
    file = folder / "prompts.jsonl"
    file.write_text("".join(
        json.dumps({field: f"What does it cost to cross bridge {number}?"}) + "\n" for number in range(REQUESTS)
    ))  # fmt: skip
    return str(file)


def test_guidellm(url, ours, tmp_path):
    out = tmp_path / "out.json"
    tool(
        "guidellm", tmp_path, "run", "--backend", f"kind=openai_http,target={url},model={MODEL}",
        "--profile", "kind=concurrent,streams=2", "--constraint", f"kind=max_requests,count={REQUESTS}",
        "--data", f"kind=json_file,path={prompts(tmp_path, 'prompt')}", "--output", f"kind=json,path={out}",
        "--disable-progress",
    )  # fmt: skip
    (run,) = json.loads(out.read_text())["benchmarks"]
    assert ours == pytest.approx(run["metrics"]["time_to_first_token_ms"]["successful"]["median"], rel=APART)


def test_aiperf(url, ours, tmp_path):
    tool(
        "aiperf", tmp_path, "profile", "-m", MODEL, "--url", url, "--endpoint-type", "chat", "--streaming",
        "--input-file", prompts(tmp_path, "text"), "--custom-dataset-type", "single_turn",
        "--request-count", str(REQUESTS), "--concurrency", "2", "--use-server-token-count",
        "--tokenizer", "hapenny/words", "--output-artifact-dir", str(tmp_path / "out"), "--ui", "none",
    )  # fmt: skip
    (export,) = (tmp_path / "out").rglob("*aiperf.json")
    assert ours == pytest.approx(json.loads(export.read_text())["time_to_first_token"]["p50"], rel=APART)


def test_inference_perf(url, ours, tmp_path):
    words = vocabulary(tmp_path) / "hub" / "models--hapenny--words" / "snapshots" / "0000"  # it wants a folder
    config = tmp_path / "config.yaml"
    config.write_text(f"""
load: {{type: constant, stages: [{{rate: 2, duration: {REQUESTS // 2}}}], num_workers: 1}}
api: {{type: chat, streaming: true}}
server: {{type: vllm, model_name: {MODEL}, base_url: "{url}", ignore_eos: false}}
tokenizer: {{pretrained_model_name_or_path: {words}}}
data: {{type: mock}}
storage: {{local_storage: {{path: {tmp_path}/out}}}}
report: {{request_lifecycle: {{summary: true, per_stage: false, per_request: false}}}}
""")
    tool("inference-perf", tmp_path, "--config_file", str(config))
    summary = json.loads((tmp_path / "out" / "summary_lifecycle_metrics.json").read_text())
    seconds = summary["successes"]["latency"]["time_to_first_token"]["median"]
    assert ours == pytest.approx(1e3 * seconds, rel=APART)
