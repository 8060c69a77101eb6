"""`hapenny tokens suggest`: from served traffic to a template file that answers, once it is enabled."""

import asyncio
import base64
import json

import aiohttp
import yaml
from click.testing import CliRunner

from hapenny.cli.main import main
from tests.server.house import CONFIG, TEXT, Scripted, serving

QUESTION = "What does it cost?"


def run(*arguments):
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


async def ask(url, session, text, user):
    body = {"model": "strong", "messages": [{"role": "user", "content": text}]}
    headers = {"x-hapenny-user": user}
    async with session.post(url + "/v1/chat/completions", json=body, headers=headers) as answer:
        return (await answer.json())["choices"][0]["message"]["content"]


async def test_what_is_always_answered_alike_becomes_a_template(tmp_path):
    key = base64.b64encode(b"k" * 32).decode()
    extra = f"""
content: {{path: "{tmp_path}/content.db", options: {{key: "{key}", sample: 1.0, routes: [default]}}}}
"""
    config = tmp_path / "hapenny.yaml"
    config.write_text(CONFIG % ("demo", tmp_path / "ledger.db", extra))
    async with serving(tmp_path, Scripted(TEXT), extra=extra) as (url, _), aiohttp.ClientSession() as session:
        for number in range(24):
            await ask(url, session, QUESTION, f"u{number % 6}")
            await ask(url, session, f"What was the weather on day {number}?", f"u{number}")
    (found,) = json.loads(await asyncio.to_thread(run, "tokens", "suggest", "-c", str(config), "--json"))
    assert (found["user"], found["answer"], found["turns"], found["users"]) == (
        "what does it cost", "Half a penny.", 24, 6,
    )  # fmt: skip

    library = tmp_path / "ours.yaml"
    library.write_text(await asyncio.to_thread(run, "tokens", "suggest", "-c", str(config)))
    templates = f'stages: {{templates: {{shipped: false, files: ["{library}"]}}}}'
    fresh = Scripted()
    async with serving(tmp_path / "off", fresh, extra=templates) as (url, _), aiohttp.ClientSession() as session:
        await ask(url, session, QUESTION, "u1")
    assert len(fresh.asked) == 1, "a draft answers nobody before a person enabled it"
    enabled = yaml.safe_load(library.read_text())
    for template in enabled["templates"]:
        del template["enabled"]
    library.write_text(yaml.safe_dump(enabled))
    async with serving(tmp_path / "on", fresh, extra=templates) as (url, _), aiohttp.ClientSession() as session:
        assert await ask(url, session, "what does it cost", "u2") == "Half a penny."
        assert len(fresh.asked) == 1
        await ask(url, session, "What does it cost in Kyoto?", "u2")
    assert len(fresh.asked) == 2


def test_without_kept_texts_it_says_what_to_do(tmp_path):
    config = tmp_path / "hapenny.yaml"
    config.write_text("log_level: info\n")
    result = CliRunner().invoke(main, ["tokens", "suggest", "-c", str(config)])
    assert result.exit_code == 1
    assert "no texts are kept" in result.output
