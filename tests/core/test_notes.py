"""Typed notes on an exchange, and what of them goes along to branches and back."""

from hapenny.core.notes import Note
from tests.core.house import exchange

PREPARED: Note[int] = Note("prepared")
FOR_OTHERS: Note[str] = Note("for others", travels=True)


def test_a_note_is_read_by_who_holds_it_and_by_nobody_else():
    there = exchange()
    there.stage_notes[PREPARED] = 3
    assert there.stage_notes[PREPARED] == 3
    assert there.stage_notes.get(Note("prepared")) is None


def test_a_branch_begins_with_what_travels():
    there = exchange()
    there.stage_notes[PREPARED], there.stage_notes[FOR_OTHERS] = 3, "left"
    branch = there.branch("a fallback")
    assert PREPARED not in branch.stage_notes
    assert branch.stage_notes[FOR_OTHERS] == "left"


def test_what_a_branch_notes_comes_back_only_with_the_one_that_is_adopted():
    there = exchange()
    loser, winner = there.branch("one"), there.branch("another")
    loser.stage_notes[FOR_OTHERS], winner.stage_notes[FOR_OTHERS] = "loser", "winner"
    winner.stage_notes[PREPARED] = 1
    there.adopt(winner)
    assert there.stage_notes[FOR_OTHERS] == "winner"
    assert PREPARED not in there.stage_notes


def test_what_is_said_of_an_answer_is_the_adopted_branchs():
    there = exchange()
    there.answer.certificate = "mine"
    loser, winner = there.branch("one"), there.branch("another")
    loser.answer.model, winner.answer.tags = "loser", ("collection:shop",)
    assert (there.answer.model, there.answer.tags) == ("", ())
    there.adopt(winner)
    assert (there.answer.certificate, there.answer.model, there.answer.tags) == ("mine", "", ("collection:shop",))
