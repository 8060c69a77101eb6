"""The quick start's snippets for clients that the project's own environment lacks: Node, command lines, frameworks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.real_clients.assistant import Assistant
from tests.real_clients.test_real_clients import NODE, SETS, run, tool_of
from tests.server.house import serving
from tests.servers import not_run

QUICK_START = Path(__file__).parents[2] / "docs" / "quickstart.md"
FENCE = re.compile(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SNIPPETS = {title: text for title, _, text in FENCE.findall(QUICK_START.read_text(encoding="utf-8"))}
ADDRESS = "http://127.0.0.1:8790"
FRAMEWORKS = [("LangChain", "python"), ("LlamaIndex", "pinned")]

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


async def test_the_node_snippet_runs_as_it_stands(tmp_path):
    if not (NODE / "node_modules").exists():
        not_run("no third-party clients for Node here: `make clients` installs them")
    script = NODE / "snippet.mjs"  # beside its packages, where Node looks for them
    async with serving(tmp_path, Assistant(), preset="safe") as (url, _):
        script.write_text(SNIPPETS["AI SDK (Node)"].replace(ADDRESS, url), encoding="utf-8")
        assert "21 degrees" in await run("node", script, cwd=NODE)


async def test_the_line_for_claude_code_is_all_it_needs(tmp_path):
    claude = tool_of("claude")
    given = dict(re.findall(r"([A-Z_]+)=(\S+)", SNIPPETS["Claude Code"]))
    async with serving(tmp_path, Assistant(), preset="safe") as (url, _):
        told = {name: value.replace(ADDRESS, url) for name, value in given.items()}
        text = await run(
            claude, "-p", "Hello", cwd=tmp_path, HOME=str(tmp_path), DISABLE_AUTOUPDATER="1",
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1", IS_SANDBOX="1", **told,
        )  # fmt: skip
    assert "21 degrees" in text


@pytest.mark.parametrize(("title", "kind"), FRAMEWORKS)
async def test_a_frameworks_snippet_runs_as_it_stands(tmp_path, title, kind):
    python = SETS / kind / "bin" / "python"
    if not python.exists():
        not_run("no third-party clients here: `make clients` installs them")
    script = tmp_path / "snippet.py"
    async with serving(tmp_path, Assistant(), preset="safe") as (url, _):
        script.write_text(SNIPPETS[title].replace(ADDRESS, url), encoding="utf-8")
        assert "21 degrees" in await run(python, script, cwd=tmp_path)
