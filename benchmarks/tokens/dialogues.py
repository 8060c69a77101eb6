"""`templates` and `answer_size` on sgd dialogues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.tokens.data import rows, say
from hapenny.tokens.templates import Templates, Turn

Record = Callable[[dict[str, Any]], None]


def templates(directory: Path, record: Record, *, quick: bool = False) -> dict[str, Any]:
    """Shares of SYSTEM turns. A template sees texts alone; it is right when the recorded acts are the template's."""
    dialogues = rows(directory, "sgd_dev")
    if not dialogues:
        return {}
    shipped = Templates.shipped()
    turns = fired = wrong = 0
    for dialogue in dialogues:
        for place, turn in enumerate(dialogue["turns"]):
            if turn["speaker"] != "SYSTEM" or place == 0:
                continue
            turns += 1
            before = dialogue["turns"][place - 2]["text"] if place > 1 else ""
            seen = Turn(user=dialogue["turns"][place - 1]["text"], assistant=before, turns=place // 2)
            answer = shipped.match(seen)
            if answer is None:
                continue
            right = set(turn["acts"]) == set(answer.acts)
            fired, wrong = fired + 1, wrong + (not right)
            record(
                {
                    "part": "templates",
                    "dialogue": dialogue["dialogue_id"],
                    "turn": place,
                    "name": answer.name,
                    "right": right,
                }
            )
    result = {"fired": fired, "wrong": wrong, "share": round(fired / max(1, turns), 4), "turns": turns}
    say(f"templates: {result}")
    return {"templates": result}
