"""The decomposition of a change: shares and bounds."""

import numpy as np
import pytest

from rca_lib.stats.slice_search.contingency import ContingencyTable
from rca_lib.stats.slice_search.decomposition import compute_change_share, estimate_mean_difference


def test_the_share_of_a_change_stays_within_what_moved_the_rate():
    assert compute_change_share(0.03, [0.03, 0.01], 0.04) == pytest.approx(0.75)
    assert compute_change_share(0.05, [0.05, -0.04], 0.01) == pytest.approx(1.0)
    assert compute_change_share(-0.04, [0.05, -0.04], 0.01) == pytest.approx(-0.8)
    assert compute_change_share(-0.03, [-0.03, 0.01], -0.02) == pytest.approx(1.0)
    rng = np.random.default_rng(4)
    for parts in rng.normal(0, 1, (200, 4)):
        assert all(-1 <= compute_change_share(part, parts, parts.sum()) <= 1 for part in parts)


def test_the_interval_of_a_mean_difference_stays_within_100_points():
    before, after = (
        ContingencyTable(np.array([[0]]), np.ones(1), np.array([error]), np.ones(1)) for error in (0.0, 1.0)
    )
    difference = estimate_mean_difference(before, after, [(np.array([0.0]), np.array([1.0]))] * 2)
    assert -1 <= difference.low <= difference.value <= difference.high <= 1
