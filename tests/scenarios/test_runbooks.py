"""What runbooks tell an operator to run exists, and runs: on the books of a gateway that answered some questions."""

import asyncio
import re
import shlex

import pytest
from click.testing import CliRunner
from scenarios.__main__ import RUNBOOKS
from scenarios.play import found

from hapenny.cli.main import main
from hapenny.config import load
from hapenny.gateway.gateway import Gateway
from tests.test_docs import DOCS, ROOT
from tests.test_skill_pages import CODE, command

SCENARIOS = {name: module.SCENARIO for name, module in found().items()}
PAGES = {page.name: page.read_text("utf-8") for page in sorted(RUNBOOKS.glob("*.md"))}
CHECKS = sorted({scenario.check for scenario in SCENARIOS.values()})
ELSEWHERE = {"cache stats", "cache explain", "batch status", "experiment analyse", "index", "doctor --quotas"}
"""What needs a running gateway, an account, or files of the operator's own."""
CONFIG = """
backends: {simulated: {kind: simulated}}
routes: {default: {holdout: 0}}
ledger: {path: ledger.db}
"""
PROMPT = '{"id": "P1", "arn": "arn:aws:bedrock:us-east-1:123456789012:prompt/P1", "name": "shop", "version": "DRAFT", \
"variants": [{"name": "v", "templateType": "TEXT", "templateConfiguration": {"text": {"text": "When do you open?"}}, \
"modelId": "anthropic.claude-3-sonnet-20240229-v1:0"}]}'


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_runbook_has_symptom_check_action_and_proof(name):
    scenario = SCENARIOS[name]
    for text in (scenario.happens, scenario.does, scenario.sees, scenario.act, scenario.proof):
        assert len(text) > 6
        assert text[-1] in ".)”", text
    page = next(page for page in PAGES.values() if f"`python -m scenarios {name}`" in page)
    assert f"$ {scenario.check}\n" in page


def test_every_command_and_option_that_a_runbook_names_exists():
    named = [text for page in PAGES.values() for text in CODE.findall(page) if text.startswith("hapenny ")]
    named += CHECKS
    assert len(named) > 50
    for text in named:
        run, rest = command(shlex.split(text)[1:])
        assert run is not None, text
        known = {option for parameter in run.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("-")} <= known, text


def test_every_metric_and_address_that_a_runbook_names_exists():
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    text = "\n".join(PAGES.values())
    metrics = set(re.findall(r"hapenny_[a-z_]+", text))
    assert len(metrics) > 5
    for metric in metrics:
        assert f'"{metric}"' in source or f'"{metric.removesuffix("_total")}"' in source, metric
    endpoints = (DOCS / "endpoints.md").read_text()
    for address in set(re.findall(r"`(?:POST |GET )?(/(?:v1|health)/[a-z/]+)", text)):
        assert address.rstrip("/") in endpoints, address


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    """A folder with a configuration and the ledger of a gateway that was asked some questions."""
    folder = tmp_path_factory.mktemp("books")
    (folder / "hapenny.yaml").write_text(CONFIG)
    (folder / "prompt.json").write_text(PROMPT)

    async def fill():
        config = load(text=CONFIG)
        config.ledger.path = str(folder / "ledger.db")
        async with Gateway(config) as gateway:
            for number in range(12):
                await gateway.chat(f"What is volume {number} about?", model="strong", temperature=0, max_tokens=30)

    asyncio.run(fill())
    return folder


HERE = [line for line in CHECKS if not any(f"hapenny {other}" in line for other in ELSEWHERE)]


@pytest.mark.parametrize("line", HERE)
def test_a_check_runs(books, monkeypatch, line):
    monkeypatch.chdir(books)
    result = CliRunner().invoke(main, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output
    assert result.output.strip()
