"""The variance of estimates whose rows share raters and items."""

import numpy as np
import pytest

from rca_lib.stats.clustered_data.two_way_variance import estimate_cluster_variance


def _draw_crossed_values(rng, raters, items, rater_sd, item_sd):
    """Let every rater judge every item once; rater, item and audit each add a normal effect (audit: sd 1)."""
    rater, item = (codes.ravel() for codes in np.meshgrid(np.arange(raters), np.arange(items), indexing="ij"))
    effects = rng.normal(0, rater_sd, raters)[rater] + rng.normal(0, item_sd, items)[item]
    return effects + rng.normal(0, 1, raters * items), rater, item


def test_the_variance_is_the_largest_of_the_three_in_the_formula():
    rng = np.random.default_rng(0)
    influence = rng.normal(0, 1, 60)
    raters, items = rng.integers(0, 5, 60), rng.integers(0, 12, 60)

    def one_way(codes):
        sums = [influence[codes == code].sum() for code in np.unique(codes)]
        return len(sums) / (len(sums) - 1) * np.square(sums).sum()

    by_rater, by_item, by_pair = one_way(raters), one_way(items), one_way(raters * 100 + items)
    assert estimate_cluster_variance(influence, raters, None).variance == pytest.approx(by_rater)
    assert estimate_cluster_variance(influence, None, items).variance == pytest.approx(by_item)
    result = estimate_cluster_variance(influence, raters, items)
    assert result.variance == pytest.approx(max(by_rater, by_item, by_rater + by_item - by_pair))
    assert result.degrees_of_freedom == 4 and result.clusters == 5 and result.two_way


def test_items_that_occur_once_change_nothing():
    rng = np.random.default_rng(1)
    influence, raters = rng.normal(0, 1, 200), rng.integers(0, 9, 200)
    for weight in (None, rng.uniform(1, 3, 200)):
        with_items = estimate_cluster_variance(influence, raters, rng.permutation(200), weight=weight)
        without = estimate_cluster_variance(influence, raters, None, weight=weight)
        assert with_items.variance == without.variance
        assert with_items.degrees_of_freedom == without.degrees_of_freedom
        assert not with_items.two_way


@pytest.mark.parametrize(("rater_sd", "item_sd"), [(0.0, 1.0), (1.0, 0.0), (0.7, 0.7), (0.0, 0.0)])
def test_the_variance_is_that_of_the_mean_over_new_raters_and_items(rater_sd, item_sd):
    rng = np.random.default_rng(2)
    true_variance = rater_sd**2 / 20 + item_sd**2 / 30 + 1 / 600
    variances = []
    for _ in range(200):
        values, rater, item = _draw_crossed_values(rng, 20, 30, rater_sd, item_sd)
        variances.append(estimate_cluster_variance((values - values.mean()) / 600, rater, item).variance)
    # Never too small; the maximum of three variances is high where rows are independent.
    upper_factor = 1.35 if rater_sd or item_sd else 1.6
    assert 0.9 * true_variance < np.mean(variances) < upper_factor * true_variance


def test_a_clustering_with_one_cluster_is_left_out():
    influence = np.array([0.5, -0.5, 0.25, -0.25])
    single_rater, items = np.zeros(4, int), np.array([0, 0, 1, 1])
    independent = influence @ influence
    assert estimate_cluster_variance(influence, single_rater, items).variance == pytest.approx(0.0)
    assert estimate_cluster_variance(influence, single_rater, None).variance == pytest.approx(independent)
    assert estimate_cluster_variance(influence, None, None).degrees_of_freedom == np.inf


def test_weighted_clusters_are_counted_by_their_effective_number():
    influence, raters = np.array([0.2, -0.1, 0.1, -0.2]), np.arange(4)
    even = estimate_cluster_variance(influence, raters, None, weight=np.ones(4))
    assert even.degrees_of_freedom == pytest.approx(3.0)
    assert even.variance == pytest.approx(influence @ influence / 0.75)
    uneven = estimate_cluster_variance(influence, raters, None, weight=np.array([97.0, 1.0, 1.0, 1.0]))
    assert uneven.degrees_of_freedom == 1.0
    assert uneven.variance > even.variance


def test_arrays_of_different_lengths_are_rejected():
    with pytest.raises(ValueError, match="one influence, rater, item"):
        estimate_cluster_variance(np.ones(3), np.zeros(2, int), None)
    with pytest.raises(ValueError, match="one row at least"):
        estimate_cluster_variance(np.ones(0), None, None)
