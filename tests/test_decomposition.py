"""The arithmetic of taking a change apart."""

import numpy as np
import pytest

from rca_lib.stats.cells import Cells
from rca_lib.stats.decomposition import compare_means, share_change, split_change, split_factors

# Das Gupta (1993), table 5.1: household headship 1970 and 1985, 13 ages, shares and rates in per cent.
SHARES_1970 = [12.9, 10.9, 9.5, 8.0, 7.8, 8.4, 8.6, 7.8, 7.0, 5.9, 4.7, 3.6, 4.9]
SHARES_1985 = [10.1, 11.2, 11.6, 10.9, 9.4, 7.7, 6.3, 6.0, 6.3, 5.9, 5.1, 4.0, 5.5]
RATES_1970 = [1.9, 25.8, 45.7, 49.6, 51.2, 51.6, 51.8, 54.9, 58.7, 60.4, 62.8, 66.6, 66.8]
RATES_1985 = [2.2, 24.3, 45.8, 52.5, 56.1, 55.6, 56.0, 57.4, 57.2, 61.2, 63.9, 68.6, 72.2]
# Das Gupta (1993), table 5.3: deaths per 1,000, two races by eleven ages, 1970 and 1985; population in thousands.
PEOPLE_1985 = [
    [3041, 11577, 27450, 32711, 35480, 27411, 19555, 19795, 15254, 8022, 2472],
    [707, 2692, 6473, 6841, 6547, 4352, 3034, 2540, 1749, 804, 236],
]
PEOPLE_1970 = [
    [2968, 11484, 34614, 30992, 21983, 20314, 20928, 16897, 11339, 5720, 1315],
    [535, 2162, 6120, 4781, 3096, 2718, 2363, 1767, 1149, 448, 117],
]
DEATHS_1985 = [
    [9.163, 0.462, 0.248, 0.929, 1.084, 1.810, 4.715, 12.187, 27.728, 64.068, 157.570],
    [17.208, 0.738, 0.328, 1.103, 2.045, 3.724, 8.052, 17.812, 34.128, 68.276, 125.161],
]
DEATHS_1970 = [
    [18.469, 0.751, 0.391, 1.146, 1.287, 2.672, 6.636, 15.691, 34.723, 79.763, 176.837],
    [36.993, 1.352, 0.541, 2.040, 3.523, 6.746, 12.967, 24.471, 45.091, 74.902, 123.205],
]


def test_headship_splits_as_published():
    split = split_change(SHARES_1970, RATES_1970, SHARES_1985, RATES_1985)
    assert (round(split.mix[0], 4), round(split.rate, 4)) == (1.2269, 1.7403)
    assert split.mix[0] + split.rate == pytest.approx(47.6940 - 44.7268, abs=1e-9)


def test_a_mix_of_race_and_age_splits_as_published():
    split = split_change(PEOPLE_1970, DEATHS_1970, PEOPLE_1985, DEATHS_1985)
    race, age = split.mix
    assert (round(age, 7), round(race, 7), round(split.rate, 7)) == (1.5217347, 0.0197749, -2.2277254)
    assert round(age + race + split.rate, 7) == -0.6862158


def test_a_product_of_two_factors_splits_as_published():
    parts = split_factors([10930, 0.717892], [16591, 0.825974])
    assert [round(part, 3) for part in parts] == [4369.913, 1487.262]


def test_parts_add_up_to_the_change_for_any_number_of_axes_and_empty_cells():
    draw = np.random.default_rng(3)
    for shape in ((5,), (3, 4), (2, 3, 4), (2, 2, 2, 3)):
        items = draw.poisson(2.0, (2, *shape)) + (np.arange(np.prod(shape)).reshape(shape) == 0)
        rates = draw.uniform(0, 1, (2, *shape))
        split = split_change(items[0], rates[0], items[1], rates[1])
        crude = (items * rates).sum(tuple(range(1, items.ndim))) / items.sum(tuple(range(1, items.ndim)))
        assert sum(split.mix) + split.rate == pytest.approx(crude[1] - crude[0], abs=1e-12)


def test_a_factor_that_did_not_change_has_no_part():
    parts = split_factors([2.0, 3.0, 5.0], [2.0, 4.0, 7.0])
    assert parts[0] == 0 and sum(parts) == pytest.approx(2 * 4 * 7 - 2 * 3 * 5)


def test_a_period_without_items_is_refused():
    with pytest.raises(ValueError, match="without items"):
        split_change([0, 0], [0.1, 0.2], [1, 1], [0.1, 0.2])


def test_a_share_of_a_change_stays_within_what_moved_the_rate():
    assert share_change(0.03, [0.03, 0.01], 0.04) == pytest.approx(0.75)
    assert share_change(0.05, [0.05, -0.04], 0.01) == pytest.approx(1.0)
    assert share_change(-0.04, [0.05, -0.04], 0.01) == pytest.approx(-0.8)
    assert share_change(-0.03, [-0.03, 0.01], -0.02) == pytest.approx(1.0)
    draw = np.random.default_rng(4)
    for parts in draw.normal(0, 1, (200, 4)):
        assert all(-1 <= share_change(part, parts, parts.sum()) <= 1 for part in parts)


def test_no_mean_leaves_100_points():
    cells = [Cells(np.array([[0]]), np.ones(1), np.array([error]), np.ones(1)) for error in (0.0, 1.0)]
    found = compare_means(*cells, [(np.array([0.0]), np.array([1.0]))] * 2)
    assert -1 <= found.low <= found.value <= found.high <= 1
