"""The variance of estimates whose rows share raters and items."""

import numpy as np
import pytest

from rca_lib.stats.two_way_clusters import cluster_variance


def _crossed(draw, raters, items, rater_spread, item_spread):
    """Every rater judges every item once; both add a normal effect of their own to a value with a spread of 1."""
    rater, item = (one.ravel() for one in np.meshgrid(np.arange(raters), np.arange(items), indexing="ij"))
    effects = draw.normal(0, rater_spread, raters)[rater] + draw.normal(0, item_spread, items)[item]
    return effects + draw.normal(0, 1, raters * items), rater, item


def test_the_three_variances_are_those_of_the_formula():
    draw = np.random.default_rng(0)
    influence, raters, items = draw.normal(0, 1, 60), draw.integers(0, 5, 60), draw.integers(0, 12, 60)

    def one_way(codes):
        sums = [influence[codes == code].sum() for code in np.unique(codes)]
        return len(sums) / (len(sums) - 1) * np.square(sums).sum()

    found = cluster_variance(influence, raters, items)
    parts = one_way(raters), one_way(items), one_way(raters * 100 + items)
    assert (found.by_rater, found.by_item) == pytest.approx(parts[:2])
    assert found.variance == pytest.approx(max(parts[0], parts[1], parts[0] + parts[1] - parts[2]))
    assert found.degrees == 4 and found.clusters == 5 and found.two_way


def test_items_that_occur_once_change_nothing():
    draw = np.random.default_rng(1)
    influence, raters = draw.normal(0, 1, 200), draw.integers(0, 9, 200)
    for weight in (None, draw.uniform(1, 3, 200)):
        with_items = cluster_variance(influence, raters, draw.permutation(200), weight=weight)
        without = cluster_variance(influence, raters, None, weight=weight)
        assert (with_items.variance, with_items.degrees) == (without.variance, without.degrees)
        assert not with_items.two_way


@pytest.mark.parametrize(("rater_spread", "item_spread"), [(0.0, 1.0), (1.0, 0.0), (0.7, 0.7), (0.0, 0.0)])
def test_the_variance_is_that_of_the_mean_over_new_raters_and_items(rater_spread, item_spread):
    draw = np.random.default_rng(2)
    true = rater_spread**2 / 20 + item_spread**2 / 30 + 1 / 600
    found = []
    for _ in range(200):
        value, rater, item = _crossed(draw, 20, 30, rater_spread, item_spread)
        found.append(cluster_variance((value - value.mean()) / 600, rater, item).variance)
    # Never too small; the maximum of three is high where nothing hangs together.
    assert 0.9 * true < np.mean(found) < (1.35 if rater_spread or item_spread else 1.6) * true


def test_a_clustering_with_one_cluster_is_left_out():
    influence = np.array([0.5, -0.5, 0.25, -0.25])
    one, items = np.zeros(4, int), np.array([0, 0, 1, 1])
    assert cluster_variance(influence, one, items).variance == pytest.approx(0.0)
    assert cluster_variance(influence, one, None).variance == pytest.approx(influence @ influence)
    assert cluster_variance(influence, None, None).degrees == np.inf


def test_clusters_are_counted_by_their_effective_number_where_weights_are_given():
    influence, raters = np.array([0.2, -0.1, 0.1, -0.2]), np.arange(4)
    even = cluster_variance(influence, raters, None, weight=np.ones(4))
    assert even.degrees == pytest.approx(3.0) and even.variance == pytest.approx(influence @ influence / 0.75)
    uneven = cluster_variance(influence, raters, None, weight=np.array([97.0, 1.0, 1.0, 1.0]))
    assert uneven.degrees == 1.0 and uneven.variance > even.variance


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one influence, rater, item"):
        cluster_variance(np.ones(3), np.zeros(2, int), None)
    with pytest.raises(ValueError, match="one row at least"):
        cluster_variance(np.ones(0), None, None)
