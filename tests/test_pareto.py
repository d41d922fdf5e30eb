"""The points that nothing else beats, by hand."""

import pytest
from fer_lib.analysis.pareto import pareto_front


def test_front_by_hand():
    #        cheap   beaten by the first   dearer, better   dearer, no better
    costs = [1.0, 1.5, 2.0, 3.0]
    scores = [0.5, 0.4, 0.6, 0.6]
    assert pareto_front(costs, scores).tolist() == [True, False, True, False]


def test_points_alike_stay_together():
    assert pareto_front([1, 1, 2], [0.5, 0.5, 0.5]).tolist() == [True, True, False]
    assert pareto_front([1, 1], [0.5, 0.6]).tolist() == [False, True]


def test_lengths_must_agree():
    with pytest.raises(ValueError, match=r"must be \(n,\)"):
        pareto_front([1, 2], [0.5])
