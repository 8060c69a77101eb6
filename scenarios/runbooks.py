"""Runbooks: a page a skill, made of its scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from scenarios.scene import Scenario

SKILLS = {
    "4.1.1": ("tokens", "Token efficiency"),
    "4.1.2": ("models", "Model selection"),
    "4.1.3": ("capacity", "High-performance models"),
    "4.1.4": ("caching", "Caching"),
    "4.2.1": ("responsive", "Responsive systems"),
    "4.2.2": ("retrieval", "Retrieval"),
    "4.2.3": ("throughput", "Throughput"),
    "4.2.4": ("parameters", "Parameters"),
    "4.2.5": ("resources", "Resources"),
    "4.2.6": ("system", "System performance"),
}


def pages(modules: Mapping[str, ModuleType]) -> dict[str, str]:
    """The text of each page by its file's name: an index, and a page a skill."""
    by_skill: dict[str, list[tuple[str, Scenario]]] = {skill: [] for skill in SKILLS}
    for name, module in modules.items():
        by_skill[module.SCENARIO.skill].append((name, module.SCENARIO))
    index = [
        "# Runbooks",
        "",
        "What can happen, what hapenny does by itself, where you see it, what is left for you to do, and how you know",
        "that it is over. Each is a scenario that is played with every change of the program, and fails without what",
        "it shows: `python -m scenarios NAME`. These pages are made of them: `python -m scenarios --runbooks`.",
    ]
    made = {}
    for skill, (file, title) in SKILLS.items():
        index += ["", f"## [{title}]({file}.md)", ""]
        lines = [f"# Runbooks: {title.lower()}", "", f"Skill {skill}."]
        for name, scenario in by_skill[skill]:
            index.append(f"- {scenario.title}")
            lines += [
                "", f"## {scenario.title}", "",
                f"**What happens.** {scenario.happens}", "",
                f"**What hapenny does.** {scenario.does}", "",
                f"**Where you see it.** {scenario.sees}", "", "```console", f"$ {scenario.check}", "```", "",
                f"**What you do.** {scenario.act}", "",
                f"**How you know that it is over.** {scenario.proof}", "",
                f"Played by `python -m scenarios {name}`.",
            ]  # fmt: skip
        made[f"{file}.md"] = "\n".join(lines) + "\n"
    return {"index.md": "\n".join(index) + "\n", **made}
