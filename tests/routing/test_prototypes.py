"""Kinds of prompts by shape: what lies between them is near none."""

import numpy as np
import pytest

from hapenny.routing.prototypes import Kinds, learn, nearest

MEASURES = 26


def kinds(count, seed=0):
    """Two kinds of prompts, apart in every measure, standardised together."""
    rng = np.random.default_rng(seed)
    side = np.where(np.arange(count) % 2, 2.0, -2.0)[:, None]
    rows = side + rng.normal(scale=0.3, size=(count, MEASURES))
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def test_the_middle_of_two_kinds_is_near_neither_and_fresh_ones_of_each_are():
    prototypes, border = learn(kinds(400))
    made = np.array(prototypes)
    assert made.shape == (32, MEASURES)
    assert nearest(kinds(100, seed=1), made).max() < border
    assert nearest(np.full((1, MEASURES), 3.5), made)[0] > border
    halves = np.where(np.arange(MEASURES) % 2, 1.0, -1.0)[None, :]
    assert nearest(halves, made)[0] > border


def test_one_prompt_is_looked_up_as_many_are():
    prototypes, _ = learn(kinds(200))
    rows = kinds(20, seed=2)
    assert [Kinds(prototypes).distance(row) for row in rows] == pytest.approx(nearest(rows, np.array(prototypes)))


def test_the_same_rows_give_the_same_kinds():
    assert learn(kinds(300)) == learn(kinds(300))


def test_prompts_that_are_all_alike_leave_room_of_a_deviation():
    rows = np.zeros((100, MEASURES)) + np.arange(100)[:, None] * 1e-6
    assert learn(rows)[1] == pytest.approx(MEASURES**0.5)


def test_too_few_rows_have_no_kinds():
    assert learn(kinds(10)) == ([], 0.0)
