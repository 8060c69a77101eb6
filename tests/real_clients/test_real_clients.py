"""Third-party clients, unmodified, through the gateway. `make clients` installs them, each set apart from ours."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.real_clients.assistant import Assistant
from tests.server.house import serving
from tests.servers import not_run

HERE = Path(__file__).parent
SETS = HERE.parents[1] / ".venv-clients"
NODE = SETS / "node"
PYTHON = [
    ("python", "openai_sdk"), ("python", "anthropic_sdk"), ("python", "boto3_sdk"), ("python", "langchain_clients"),
    ("python", "openai_agents"), ("pinned", "pydantic_ai_agents"), ("pinned", "litellm_client"),
    ("pinned", "llama_index_clients"), ("pinned", "strands_agent"), ("pinned", "instructor_client"),
    ("pinned", "llm_cli"), ("old", "openai_sdk"), ("old", "anthropic_sdk"), ("old", "boto3_sdk"),
]  # fmt: skip
LIMIT_S = 240

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


async def run(*command, cwd=None, **environment):
    """What a command printed; the test fails with it where the command did."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), cwd=cwd, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, env={**os.environ, **environment},
    )  # fmt: skip
    try:
        async with asyncio.timeout(LIMIT_S):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        out, _ = await process.communicate()
        raise AssertionError(f"not finished in time: {out.decode(errors='replace')[-3_000:]}") from None
    text = out.decode(errors="replace")
    assert process.returncode == 0, text[-4_000:]
    return text


@pytest.mark.parametrize(("kind", "name"), PYTHON)
async def test_python(tmp_path, kind, name):
    python = SETS / kind / "bin" / "python"
    if not python.exists():
        not_run("no third-party clients here: `make clients` installs them")
    async with serving(tmp_path, Assistant(), preset="safe") as (url, app):
        assert "ok" in await run(python, HERE / "python" / f"{name}.py", url, HOME=str(tmp_path))
        assert app.gateway.books.violations == 0


@pytest.mark.parametrize("name", ["openai", "anthropic", "bedrock", "ai"])
async def test_node(tmp_path, name):
    if not (NODE / "node_modules").exists():
        not_run("no third-party clients for Node here: `make clients` installs them")
    script = NODE / f"{name}.mjs"  # beside its packages, where Node looks for them
    script.write_text((HERE / "node" / f"{name}.mjs").read_text(encoding="utf-8"), encoding="utf-8")
    async with serving(tmp_path, Assistant(), preset="safe") as (url, app):
        assert "ok" in await run("node", script, url, cwd=NODE)
        assert app.gateway.books.violations == 0


def tool_of(name):
    path = NODE / "node_modules" / ".bin" / name
    if not path.exists():
        not_run(f"no {name} here: `make clients` installs it")
    return path


async def test_claude_code_prints(tmp_path):
    claude = tool_of("claude")
    backend = Assistant()
    async with serving(tmp_path, backend, preset="safe") as (url, _):
        text = await run(
            claude, "-p", "Hello", "--model", "strong", cwd=tmp_path, HOME=str(tmp_path), ANTHROPIC_BASE_URL=url,
            ANTHROPIC_API_KEY="k", ANTHROPIC_DEFAULT_HAIKU_MODEL="fast", DISABLE_AUTOUPDATER="1", DISABLE_TELEMETRY="1",
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1", IS_SANDBOX="1",
        )  # fmt: skip
    assert "21 degrees" in text
    assert backend.asked


async def test_codex_prints(tmp_path):
    codex = tool_of("codex")
    backend = Assistant()
    async with serving(tmp_path, backend, preset="safe") as (url, _):
        provider = f'model_providers.ours={{name="ours",base_url="{url}/v1",env_key="OURS",wire_api="responses"}}'
        text = await run(
            codex, "exec", "--skip-git-repo-check", "-c", provider, "-c", 'model_provider="ours"', "-c",
            'model="strong"', "-c", 'web_search="disabled"', "Hello", cwd=tmp_path, HOME=str(tmp_path),
            CODEX_HOME=str(tmp_path), OURS="k",
        )  # fmt: skip
    assert "21 degrees" in text
    assert backend.asked[-1][0].protocol == "responses"
