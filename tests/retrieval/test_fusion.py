import numpy as np
import pytest

from hapenny.retrieval.documents import EMPTY_LEG, Leg
from hapenny.retrieval.search.fusion import SEED, Candidates, Fusion, fuse, gather, order
from hapenny.retrieval.settings import Settings


def leg(rows, scores):
    return Leg(np.array(rows, np.int64), np.array(scores, np.float32))


def ranking(found, how, ideal=0.0):
    return found.rows[order(found.rows, fuse(found, how, ideal))].tolist()


def completed(found, cosines):
    values = np.array([cosines[row] for row in found.rows.tolist()], np.float32)
    return Candidates(found.rows, found.lexical, values, found.lexical_rank, found.vector_rank)


def test_both_legs_are_joined_without_repeats():
    found = gather(leg([3, 1], [9, 4]), leg([1, 2], [0.8, 0.7]))
    assert found.rows.tolist() == [3, 1, 2]
    assert found.lexical_rank.tolist() == [0, 1, -1]
    assert found.vector_rank.tolist() == [-1, 0, 1]
    assert np.isnan(found.cosine[0])
    assert np.isnan(found.lexical[2])


def test_comparable_scores_reward_being_good_in_both():
    found = completed(gather(leg([1, 2], [10, 9]), leg([3, 2], [0.7, 0.65])), {1: 0.1, 2: 0.65, 3: 0.7})
    assert ranking(found, Fusion(alpha=0.5))[0] == 2


def test_a_lone_weak_match_does_not_count_as_a_perfect_one():
    found = completed(gather(leg([1], [1.0]), leg([2], [0.6])), {1: 0.2, 2: 0.6})
    assert ranking(found, Fusion(alpha=0.5), ideal=20.0)[0] == 2
    assert ranking(found, Fusion(alpha=0.5, weak=0.0))[0] == 1


@pytest.mark.parametrize("method", ["comparable", "minmax", "zscore", "rrf"])
def test_an_empty_leg_leaves_the_other_as_it_is(method):
    found = gather(EMPTY_LEG, leg([5, 4, 6], [0.9, 0.8, 0.1]))
    assert ranking(found, Fusion(method=method)) == [5, 4, 6]
    found = gather(leg([5, 4, 6], [9, 5, 1]), EMPTY_LEG)
    assert ranking(found, Fusion(method=method)) == [5, 4, 6]
    assert fuse(gather(EMPTY_LEG, EMPTY_LEG), Fusion(method=method)).tolist() == []


def test_reciprocal_ranks_by_hand():
    found = gather(leg([1, 2], [9, 1]), leg([2], [0.5]))
    scores = fuse(found, Fusion(method="rrf", alpha=0.5))
    assert scores == pytest.approx([0.5 / 61, 0.5 / 62 + 0.5 / 61])


def test_the_seed_preset_is_minmax_of_twenty_and_twenty():
    found = gather(leg([1, 2, 3], [10, 6, 2]), leg([3, 1], [0.9, 0.5]))
    assert (SEED.lexical, SEED.vector, SEED.alpha) == (20, 20, 0.7)
    assert fuse(found, SEED) == pytest.approx([0.3 * 1.0 + 0.7 * 0.0, 0.3 * 0.5, 0.3 * 0.0 + 0.7 * 1.0])


def test_ties_go_to_the_lower_row():
    found = gather(leg([9, 3], [2, 2]), EMPTY_LEG)
    assert ranking(found, Fusion(method="lexical")) == [3, 9]


def test_alpha_shrinks_where_all_documents_look_alike():
    settings = Settings()
    assert settings.weighted(0.0).alpha == pytest.approx(0.65)
    assert settings.weighted(0.5).alpha == pytest.approx(0.040625)
    assert Settings(calibrated=False).weighted(0.5).alpha == pytest.approx(0.65)


def test_alpha_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match="alpha"):
        Fusion(alpha=1.5)


@pytest.mark.parametrize(
    ("words", "alpha", "rarest"),
    [(8, 0.8, 0.0), (15, 0.8, 0.0), (27.5, 0.725, 0.05), (40, 0.65, 0.1), (300, 0.65, 0.1)],
)
def test_words_weigh_less_where_documents_are_one_sentence(words, alpha, rarest):
    settings = Settings().of_length(words)
    assert settings.fusion.alpha == pytest.approx(alpha)
    assert settings.closer.rarest == pytest.approx(rarest)


def test_who_sets_the_weights_keeps_them_whatever_the_length():
    assert Settings(calibrated=False).of_length(8) == Settings(calibrated=False)
    assert Settings(fusion=SEED).of_length(8).fusion == SEED
