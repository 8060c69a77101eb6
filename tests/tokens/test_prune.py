"""Pruning keeps the evidence, whole units in order, within the budget; repeats go, numbers tell passages apart."""

import json

import numpy as np
import pytest

from hapenny.tokens.passages import aligned, analyse, near_duplicates
from hapenny.tokens.prune import prune


def cost(text: str) -> float:
    return len(text.encode()) / 4


TEXTS = {
    "Clifton Bridge": "The bridge spans the gorge. It was opened in 1864 after long delays. Visitors walk across it.",
    "Old Mill": "The mill stands by the river. It ground corn for two centuries. Today it is a museum of farming.",
    "Harbour": "The harbour was dug by hand. Ships brought sugar and wine. Cranes still stand along the quay.",
    "Cathedral": "The cathedral has two towers. Its organ has four thousand pipes. Services are held every day.",
}
PASSAGES = [analyse(title, text, cost) for title, text in TEXTS.items()]
TOTAL = sum(passage.cost for passage in PASSAGES)


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("when was the clifton bridge opened", "1864"),
        ("what did ships bring to the harbour", "sugar"),
        ("how many pipes does the cathedral organ have", "four thousand"),
        ("what is the old mill today", "museum"),
    ],
)
def test_the_answer_survives_a_fifth_of_the_tokens(question: str, wanted: str) -> None:
    found = prune(question, PASSAGES, budget=0.22 * TOTAL)
    sent = " ".join(PASSAGES[place].render(found.kept[place]) for place in found.order)
    assert wanted in sent
    assert found.after <= 0.22 * TOTAL
    assert sum(found.scores) == pytest.approx(1.0)


def test_units_stay_whole_and_in_order() -> None:
    found = prune("the bridge the mill the harbour the cathedral", PASSAGES, budget=0.6 * TOTAL)
    for place, kept in enumerate(found.kept):
        assert kept == sorted(kept)
        text = PASSAGES[place].render(kept)
        assert all(PASSAGES[place].units[unit].text in text for unit in kept)
    assert found.order == sorted(found.order)


def test_a_clear_question_stops_early_and_a_full_mass_fills_the_budget() -> None:
    question = "when was the clifton bridge opened"
    early = prune(question, PASSAGES, budget=0.8 * TOTAL, mass=0.6)
    full = prune(question, PASSAGES, budget=0.8 * TOTAL)
    assert early.after < 0.5 * full.after
    assert early.mass >= 0.6
    floored = prune(question, PASSAGES, budget=0.8 * TOTAL, mass=0.6, floor=0.5 * TOTAL)
    assert floored.after >= 0.4 * TOTAL


def test_best_first_puts_the_evidence_first() -> None:
    found = prune("how many pipes does the organ have", PASSAGES, budget=0.7 * TOTAL, best_first=True)
    assert found.order[0] == 3


def test_repeats_are_removed_but_other_numbers_are_not_repeats() -> None:
    one = "Revenue in the first quarter of 2023 was 14 million and costs were 9 million in all regions."
    again = "Revenue in the first quarter of 2023 was 14 million, and costs were 9 million, in all regions!"
    other = "Revenue in the first quarter of 2024 was 17 million and costs were 9 million in all regions."
    passages = [analyse("", text, cost) for text in (one, again, other)]
    assert near_duplicates(passages) == [1]
    found = prune("revenue in the first quarter", passages, budget=1000.0)
    assert found.duplicates == [1]
    assert found.kept[1] == []
    assert found.kept[2] == [0]


def test_records_and_rows_stay_readable() -> None:

    records = analyse(
        "", json.dumps([{"sku": f"MX-{n}", "colour": c} for n, c in enumerate(["red", "blue", "green"])]), cost
    )
    assert json.loads(records.render([0, 2])) == [{"sku": "MX-0", "colour": "red"}, {"sku": "MX-2", "colour": "green"}]
    table = analyse("", "| sku | colour |\n|---|---|\n| a | red |\n| b | blue |\n", cost)
    found = prune("which sku is blue", [table], budget=table.cost * 0.9)
    text = table.render(found.kept[0])
    assert text.startswith("| sku | colour |\n|---|---|\n")
    assert "| b | blue |" in text
    assert "| a | red |" not in text


def test_one_unit_always_stays_and_nothing_breaks_on_nothing() -> None:
    found = prune("when was the bridge opened", PASSAGES, budget=0.0)
    assert sum(map(len, found.kept)) == 1
    assert prune("anything", [], budget=10).order == []
    assert prune("anything", [analyse("", "", cost)], budget=10).order == []
    assert sum(map(len, prune("", PASSAGES, budget=TOTAL).kept)) > 0


def test_stored_vectors_decide_where_words_do_not() -> None:
    texts = ["The feline slept on the rug. It was warm.", "Shares fell by noon. Traders left early."]
    vectors = [np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([[0.0, 1.0], [0.0, 1.0]])]
    passages = [analyse("", text, cost, vector) for text, vector in zip(texts, vectors, strict=True)]
    found = prune("where did kitty nap", passages, budget=12.0, vector=np.array([1.0, 0.0]))
    assert 0 in found.kept[0]
    assert found.kept[1] == []
    found = prune("where did kitty nap", passages, budget=12.0, vector=np.array([0.0, 1.0]))
    assert found.kept[0] == []


def test_vectors_of_sentences_cut_elsewhere_find_their_units() -> None:
    passage = analyse("", "One is here. Two is there! Dr. Three came late. Four left.", cost)
    assert len(passage.units) == 4
    vectors = np.eye(4)
    found = aligned(passage, ["One is here. Two is there!", "Dr.", "Three came late.", "not in the text"], vectors)
    assert np.allclose(found.vectors[0], vectors[0])
    assert np.allclose(found.vectors[1], vectors[0])
    assert np.allclose(found.vectors[2], (vectors[1] + vectors[2]) / np.sqrt(2))
    assert np.allclose(found.vectors[3], np.full(4, 0.5))
