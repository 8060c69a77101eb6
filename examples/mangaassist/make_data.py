"""Makes the shop's data files from the seeded workload: `python examples/mangaassist/make_data.py`.

A tool of this repository, no part of the application: it writes what the application ships, 300 series with 3,000
volumes and the shop's pages, and a set of questions with their right answers for simulated models.
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from hapenny.simulation.workload import truth_file
from hapenny.simulation.workload.mix import load
from hapenny.simulation.workload.shop import Shop, phrases, policies, values
from hapenny.simulation.workload.shoppers import Population

DATA = Path(__file__).parent / "src" / "mangaassist" / "data"
DAY = 30
_QUESTIONS = 6
"""Of each intent and language, that the page suggests and simulated models know."""
_ASKED = ("product_info", "recommendation", "shipping", "complaint", "store", "reckoning", "translation")


def main() -> None:
    """Writes the files."""
    shop = Shop()
    DATA.mkdir(exist_ok=True)
    with (DATA / "catalogue.jsonl").open("w", encoding="utf-8") as lines:
        for series in shop.catalogue.series:
            rows = []
            for volume in shop.catalogue.of_series[series.id]:
                state = shop.catalogue.state(volume, DAY)
                rows.append(
                    [volume.sku, volume.number, volume.pages, state.price, state.stock, volume.released.isoformat()]
                )
            entry = {
                "id": series.id, "titles": series.names, "author": series.author, "genres": series.genres,
                "age": series.age, "about": series.about, "volumes": rows,
            }  # fmt: skip
            lines.write(json.dumps(entry, ensure_ascii=False) + "\n")
    rules = {
        rule["id"]: {
            "topic": rule["topic"],
            **{language: rule[language]["fact"].format(v=values(rule, language)[0]) for language in ("en", "ja", "vi")},
        }
        for rule in policies().values()
    }
    head = "# The shop's pages, by topic, and the rules that stand on them. Made by make_data.py.\n"
    pages = yaml.safe_dump({"topics": phrases()["topics"], "rules": rules}, allow_unicode=True, width=120)
    (DATA / "pages.yaml").write_text(head + pages, encoding="utf-8")
    _questions(shop)


def _questions(shop: Shop) -> None:
    """Questions with truths: what a simulated model has to know to answer like one."""
    population = Population(load(), shop, seed=1)
    kept: dict[tuple[str, str], int] = {}
    entries = {}
    for message in population.messages(8_000, 0.9, DAY):
        key = (message.intent, message.language)
        if message.intent not in _ASKED or message.how == "follow_up" or message.day != DAY:
            continue
        if kept.get(key, 0) >= _QUESTIONS or message.text in entries or len(message.text) > 160:
            continue
        kept[key] = kept.get(key, 0) + 1
        entries[message.text] = (message.text, "", message.item)
    truth_file.save(DATA / "questions.jsonl", entries.values())


if __name__ == "__main__":
    main()
