"""The site builds without a dead link, its snippets run, and the way to production is short."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hapenny.config import load
from tests.cli.test_serve import serving

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = {"langchain_openai", "llama_index"}


def blocks(name, language):
    return [text for kind, text in FENCE.findall((DOCS / name).read_text()) if kind == language]


def pages(*sections):
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    listed = {
        title: [page for entry in entries for page in entry.values()] for one in nav for title, entries in one.items()
    }
    return [page for title, names in listed.items() if not sections or title in sections for page in names]


def test_every_page_is_in_the_navigation():
    assert sorted(pages()) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_the_way_to_production_is_short():
    assert sum(len((DOCS / page).read_text().split()) for page in pages("Start", "Production")) < 4_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("docs"), None) as (_, url):
        yield url


@pytest.mark.parametrize("snippet", blocks("quickstart.md", "python"), ids=lambda text: text.split()[1].split(".")[0])
def test_the_snippets_of_the_quick_start_run_as_they_stand(gateway, tmp_path, snippet):
    for module in NEEDS:
        if f"from {module}" in snippet:
            pytest.importorskip(module)
    script = tmp_path / "snippet.py"
    script.write_text(snippet.replace("http://127.0.0.1:8790", gateway))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) > 10


@pytest.mark.parametrize("text", blocks("tutorial.md", "yaml"))
def test_the_tutorials_configurations_are_valid(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "path: ./kb" in text:
        subprocess.run(
            [sys.executable, "-m", "hapenny", "index", "build", "kb", str(DOCS / "faq.md"), "--embedder", "hashed"],
            check=True, capture_output=True,
        )  # fmt: skip
    load(text=text)


def built(tmp_path):
    """The site, built in strict mode from a copy."""
    shutil.copytree(DOCS, tmp_path / "docs", dirs_exist_ok=True)
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    build = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, timeout=60)


def test_the_site_builds_in_strict_mode_and_asks_nobody_else(tmp_path):
    done = built(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site" / "index.html").read_text()
    assert not re.findall(r"""<(?:script|link|img)[^>]+(?:src|href)=["']?https?://""", page)


@pytest.mark.parametrize("link", ["nowhere.md", "faq.md#nowhere"])
def test_a_dead_link_fails_the_build(tmp_path, link):
    shutil.copytree(DOCS, tmp_path / "docs")
    broken = (DOCS / "index.md").read_text() + f"\n[there]({link})\n"
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    (tmp_path / "docs" / "index.md").write_text(broken)
    build = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    assert subprocess.run(build, cwd=tmp_path, capture_output=True, timeout=60).returncode != 0
