"""The pages of the ten skills: complete, plain at the start; the commands, options and metrics they name exist."""

import importlib.util
import re
import shlex

import click
import pytest
from scenarios.runbooks import SKILLS

from hapenny.cli.main import main
from tests.test_docs import DOCS, ROOT

PAGES = {path.name: path.read_text() for path in sorted((DOCS / "skills").glob("*.md"))}
CODE = re.compile(r"`([^`\n]+)`")
SECTION = re.compile(r"(?:stages|routes|backends|keys\[N\]|batch|precompute|edge|counting|traces|emf|server)\.")


def quoted():
    return [(name, text) for name, page in PAGES.items() for text in CODE.findall(page)]


def command(words):
    """The command that the words after `hapenny` name, and what is left of them."""
    found, rest = main, list(words)
    context = click.Context(main)
    while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
        found = found.get_command(context, rest.pop(0))
    return found, rest


@pytest.mark.parametrize("skill", SKILLS)
def test_a_skill_has_its_three_pages_and_the_overview_links_them(skill):
    file, _ = SKILLS[skill]
    assert f"Skill {skill}." in PAGES[f"{file}.md"]
    for link in (f"{file}.md", f"{file}-techniques.md", f"../runbooks/{file}.md"):
        assert f"({link})" in PAGES["index.md"]
    assert f">{skill} " in (DOCS / "skills" / "mindmap.svg").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_begins_with_a_plain_paragraph(name):
    title, paragraph = PAGES[name].split("\n\n")[:2]
    assert title.startswith("# ")
    assert 20 <= len(paragraph.split()) <= 80
    assert paragraph[0].isalpha() and "|" not in paragraph


def test_commands_and_their_options_exist():
    lines = [(name, text) for name, text in quoted() if text.startswith("hapenny ")]
    assert len(lines) > 50
    for name, text in lines:
        found, rest = command(shlex.split(text)[1:])
        assert found is not None, (name, text)
        known = {option for parameter in found.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known, (name, text)


def test_options_of_the_configuration_exist():
    known = set(re.findall(r"^\| `([^`]+)` \|", (DOCS / "configuration.md").read_text(), re.MULTILINE))
    named = [(name, text) for name, text in quoted() if SECTION.match(text)]
    assert len(named) > 50
    for name, text in named:
        assert any(option == text or option.startswith((f"{text}.", f"{text}[")) for option in known), (name, text)


def test_metrics_and_benchmarks_exist():
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    named = {metric for page in PAGES.values() for metric in re.findall(r"hapenny_[a-z_]+", page)}
    assert len(named) > 20
    for metric in named:
        assert f'"{metric}"' in source or f'"{metric.removesuffix("_total")}"' in source, metric
    for benchmark in {name for page in PAGES.values() for name in re.findall(r"benchmarks\.([a-z]+)", page)}:
        assert importlib.util.find_spec(f"benchmarks.{benchmark}") is not None, benchmark
