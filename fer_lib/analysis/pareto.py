"""What is worth its cost: points that no other one beats in both accuracy and cost."""

import numpy as np


def pareto_front(costs, scores):
    """Which points are not dominated: nothing else costs as little and scores as much, better in one of the two.

    Args:
        costs: float `(n,)`, less is better.
        scores: float `(n,)`, more is better.

    Returns:
        bool `(n,)`. Of points alike in both, all or none are on the front.
    """
    costs, scores = np.asarray(costs, dtype=float), np.asarray(scores, dtype=float)
    if costs.shape != scores.shape or costs.ndim != 1:
        raise ValueError(f"`costs` and `scores` must be (n,). Received: {costs.shape}, {scores.shape}")
    as_good = (costs[None] <= costs[:, None]) & (scores[None] >= scores[:, None])
    better = (costs[None] < costs[:, None]) | (scores[None] > scores[:, None])
    return ~(as_good & better).any(axis=1)
