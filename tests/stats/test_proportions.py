"""Confidence intervals against published numbers, clustered rates against simulation."""

import numpy as np
import pytest

from rca_lib.stats.proportions import (
    clopper_pearson_interval,
    estimate_clustered_rate,
    subtract_rates,
    wilson_interval,
    wilson_rate,
)


@pytest.mark.parametrize(
    ("errors", "items", "low", "high"),
    [  # statsmodels results_proportion.py, which holds R binom's numbers
        (18, 20, 0.6989663548, 0.9721335188),
        (4, 20, 0.0806576626, 0.4160174322),
        (4, 200, 0.0078044264, 0.0502870869),
    ],
)
def test_wilson_agrees_with_r_binom(errors, items, low, high):
    assert wilson_interval(errors, items) == pytest.approx((low, high), abs=1e-10)


@pytest.mark.parametrize(
    ("errors", "items", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_agrees_with_newcombe_1998_table_1_method_3(errors, items, low, high):
    assert wilson_interval(errors, items) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("errors", "items", "low", "high"),
    [  # statsmodels results_proportion.py, which holds R binom's numbers
        (18, 20, 0.6830172860, 0.9876514728),
        (4, 20, 0.0573339971, 0.4366140030),
        (4, 200, 0.0054755659, 0.0504136091),
    ],
)
def test_clopper_pearson_agrees_with_r_binom(errors, items, low, high):
    assert clopper_pearson_interval(errors, items) == pytest.approx((low, high), abs=1e-10)


@pytest.mark.parametrize(
    ("agreed", "items", "low", "high"), [(8, 15, 26.59, 78.73), (13, 15, 59.54, 98.34), (14, 15, 68.05, 99.83)]
)
def test_clopper_pearson_agrees_with_minitabs_attribute_agreement(agreed, items, low, high):
    # Minitab, attribute agreement analysis, ESSAY.MTW
    assert np.multiply(clopper_pearson_interval(agreed, items), 100) == pytest.approx((low, high), abs=5e-3)


def test_at_full_agreement_minitabs_interval_is_one_sided_and_the_two_sided_one_is_wider():
    # Minitab's 15 of 15, 81.90 to 100, puts the whole 5 % below, as two-sided 90 % does; two-sided 95 %: .025 ** (1/15)
    assert clopper_pearson_interval(15, 15, level=0.90) == pytest.approx((0.8190, 1.0), abs=5e-5)
    assert clopper_pearson_interval(15, 15) == pytest.approx((0.7820, 1.0), abs=5e-5)


@pytest.mark.parametrize(
    ("after", "before", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((5, 56), (0, 29), -0.0381, 0.1926)],
)
def test_differences_agree_with_newcombe_1998_ii_method_10(after, before, low, high):
    change = subtract_rates(wilson_rate(*after), wilson_rate(*before))
    assert (change.low, change.high) == pytest.approx((low, high), abs=5e-5)
    assert change.value == pytest.approx(after[0] / after[1] - before[0] / before[1])


def test_a_stratified_proportion_agrees_with_scheaffer():
    # Scheaffer, Mendenhall and Ott: N 155, 62, 93; n 20, 8, 12; p .80, .25, .50; p_st .60
    decisions, audits, rates = np.array([155, 62, 93]), np.array([20, 8, 12]), np.array([0.8, 0.25, 0.5])
    items = np.concatenate([audits * rates, audits * (1 - rates)])
    is_error, weight = np.repeat([True, False], 3), np.tile(decisions / audits, 2)
    result = estimate_clustered_rate(is_error, items, items * weight, items * weight**2).rate
    assert (result.value, result.errors, result.items) == pytest.approx((0.60, 24, 40))


def test_equal_weights_without_clusters_give_the_wilson_interval():
    is_error, items = np.array([True, False]), np.array([18.0, 2.0])
    result = estimate_clustered_rate(is_error, items, 7 * items, 49 * items)
    assert (result.rate.low, result.rate.high) == pytest.approx(wilson_interval(18, 20))
    assert (result.design_effect, result.rate.method) == (pytest.approx(1), "Wilson")


def test_identical_items_of_a_cluster_count_as_one():
    # 40 clusters of 25 identical items: 1,000 items hold the information of 40, so the design effect is 25 × 40/39.
    is_error, cluster, items = np.arange(40) < 8, np.arange(40), np.full(40, 25.0)
    result = estimate_clustered_rate(is_error, items, items, items, cluster)
    assert result.design_effect == pytest.approx(25 * 40 / 39)
    low, high = clopper_pearson_interval(8, 40)
    assert result.rate.low < low < high < result.rate.high < high + 0.02


def test_a_few_errors_of_small_weight_do_not_feign_precision():
    # 30 errors of weight 2, none among 400 items of weight 50: the variance alone would make 1,000 items worth 9,900;
    # Kish's number of items is (600·2 + 400·50)² / (600·4 + 400·2500) = 448.4.
    is_error, items, weight = np.array([True, False, False]), np.array([30.0, 570.0, 400.0]), np.array([2.0, 2.0, 50.0])
    result = estimate_clustered_rate(is_error, items, items * weight, items * weight**2)
    assert 1000 / result.design_effect == pytest.approx(448.4, abs=0.05)
    assert result.rate.high == pytest.approx(wilson_interval(448.4 * 60 / 21200, 448.4)[1], rel=1e-3)


@pytest.mark.parametrize("rate", [0, 1])
def test_rates_of_0_and_1_have_an_interval(rate):
    is_error, cluster, items = np.full(6, bool(rate)), np.arange(6), np.full(6, 10.0)
    result = estimate_clustered_rate(is_error, items, items, items, cluster)
    assert (result.rate.low, result.rate.high) == pytest.approx(wilson_interval(60 * rate, 60))


def test_without_items_the_interval_is_0_to_1():
    empty = np.zeros(0)
    rate = estimate_clustered_rate(empty.astype(bool), empty, empty, empty, empty.astype(int)).rate
    assert (rate.low, rate.high, rate.items) == (0.0, 1.0, 0.0)
    assert np.isnan(rate.value)
    assert wilson_interval(0, 0) == clopper_pearson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("raters", "icc"), [(10, 0.03), (30, 0.0), (30, 0.05)])
def test_clustered_intervals_have_the_stated_coverage_and_plain_ones_do_not(raters, icc):
    # 600 samples: the standard error of a coverage of .95 is .009, so .92 is more than three of them away.
    rng, rate, hits = np.random.default_rng(raters), 0.06, np.zeros(2)
    is_error, cluster = np.repeat([True, False], raters), np.tile(np.arange(raters), 2)
    for _ in range(600):
        audits = rng.poisson(rng.gamma(3, 20, raters))
        rates = rng.beta(rate * (1 / icc - 1), (1 - rate) * (1 / icc - 1), raters) if icc else np.full(raters, rate)
        errors = rng.binomial(audits, rates)
        items = np.concatenate([errors, audits - errors]).astype(float)
        result = estimate_clustered_rate(is_error, items, items, items, cluster).rate
        plain = wilson_interval(errors.sum(), audits.sum())
        hits += result.low <= rate <= result.high, plain[0] <= rate <= plain[1]
    clustered_coverage, plain_coverage = hits / 600
    assert 0.92 <= clustered_coverage <= 0.995
    assert plain_coverage < 0.87 if icc else plain_coverage > 0.92
