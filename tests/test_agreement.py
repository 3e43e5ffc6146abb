"""Coefficients of agreement against published and printed numbers."""

import numpy as np
import pytest
from scipy import sparse

from rca_lib.stats.agreement import agreement, agreement_weights, cross_agreement

# Krippendorff's twelve units judged by four (irrCAC: cac.raw4raters); 0 is no rating.
UNITS = ("1101", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "0555", "0011", "0030")


def count(ratings, categories):
    return sparse.csr_array(
        [[row.count(str(label)) for label in range(1, categories + 1)] for row in ratings], dtype=float
    )


def sides(table):
    first, second = np.nonzero(np.array(table))
    times = np.array(table)[first, second]
    labels = np.eye(len(table))
    return sparse.csr_array(labels[np.repeat(first, times)]), sparse.csr_array(labels[np.repeat(second, times)])


def test_cohens_kappa_and_its_error_agree_with_the_sas_printout():
    # SAS, as quoted in the tests of statsmodels: .4842, ASE .1380, .2137 to .7547; linear weights .4701, .1845 to .7558
    first, second = sides([[0, 4, 1], [0, 8, 0], [0, 1, 5]])
    plain = cross_agreement(first, second)
    assert (plain.value, plain.error) == pytest.approx((0.4842, 0.1380), abs=5e-5)
    linear = cross_agreement(first, second, agreement_weights(np.arange(3.0), "linear"))
    ends = linear.value - 1.959964 * linear.error, linear.value, linear.value + 1.959964 * linear.error
    assert ends == pytest.approx((0.1845, 0.4701, 0.7558), abs=5e-5)


def test_two_raters_agree_with_irrcac():
    # irrCAC overview, cont3x3abstractors. Its functions for tables divide by n, those for ratings (as here) by n − 1.
    first, second = sides([[13, 0, 0], [0, 20, 7], [0, 4, 56]])
    counts, by_table = first + second, np.sqrt(99 / 100)
    cohen, gwet = cross_agreement(first, second), agreement(counts, "ac")
    assert (cohen.value, cohen.error) == pytest.approx((0.7964094, 0.05891), abs=5e-6)
    assert (gwet.value, gwet.error * by_table) == pytest.approx((0.8493305, 0.04321747), abs=5e-8)
    assert agreement(counts, "fleiss").value == pytest.approx(0.7962397, abs=5e-8)  # Scott's pi for two
    assert agreement(counts, "alpha").value == pytest.approx(0.7972585, abs=5e-8)
    assert agreement(counts, "fleiss").observed == pytest.approx(0.89)


@pytest.mark.parametrize(
    ("kind", "value", "error"), [("ac", 0.77544, 0.14295), ("fleiss", 0.76117, 0.15302), ("alpha", 0.74342, 0.14557)]
)
def test_four_raters_with_gaps_agree_with_irrcac(kind, value, error):
    # irrCAC overview, cac.raw4raters
    found = agreement(count(UNITS, 5), kind)
    assert (found.value, found.error) == pytest.approx((value, error), abs=5e-6)


def test_plain_agreement_with_gaps_agrees_with_irrcac():
    assert agreement(count(UNITS, 5), "fleiss").observed == pytest.approx(0.8181818, abs=5e-8)


@pytest.mark.parametrize(("kind", "alpha"), [("quadratic", 0.8491), ("ratio", 0.7974)])
def test_alpha_of_numbers_agrees_with_krippendorffs_example(kind, alpha):
    # printed .849, .797; the fourth digit from the package krippendorff; the other scales are in test_reliability
    found = agreement(count(UNITS, 5), "alpha", agreement_weights(np.arange(1.0, 6.0), kind))
    assert found.value == pytest.approx(alpha, abs=5e-5)


def test_fleiss_kappa_agrees_with_the_worked_example():
    # Wikipedia, Fleiss' kappa: 10 items, 14 raters, 5 categories: .210
    rows = "0 0 0 0 14|0 2 6 4 2|0 0 3 5 6|0 3 9 2 0|2 2 8 1 1|7 7 0 0 0|3 2 6 3 0|2 5 3 2 2|6 5 2 1 0|0 2 2 3 7"
    counts = sparse.csr_array([[float(cell) for cell in row.split()] for row in rows.split("|")])
    assert agreement(counts, "fleiss").value == pytest.approx(0.210, abs=5e-4)


def test_quadratic_weights_of_two_equidistant_categories_are_the_unweighted_coefficient():
    counts = count(["11", "12", "22", "22", "11", "21"], 2)
    weighted = agreement(counts, "ac", agreement_weights(np.arange(2.0), "quadratic"))
    assert weighted.value == pytest.approx(agreement(counts, "ac").value)


def test_ac2_lies_where_its_formula_puts_it():
    # Two raters, 1-1, 1-2, 2-3, 3-3 with linear weights (1, ½, 0): observed (1 + ½ + ½ + 1)/4 = .75. Shares 3/8, 2/8,
    # 3/8: Σπ(1−π) = .65625; Σw = 5; chance 5/(3·2)·.65625 = .546875; (.75 − .546875)/(1 − .546875) = .448276.
    found = agreement(count(["11", "12", "23", "33"], 3), "ac", agreement_weights(np.arange(3.0), "linear"))
    assert (found.observed, found.chance, found.value) == pytest.approx((0.75, 0.546875, 0.448276), abs=5e-7)


def test_a_single_category_leaves_chance_certain_and_the_coefficient_undefined():
    alike = count(["11", "11", "11"], 2)
    assert agreement(alike, "fleiss") is None
    assert agreement(alike, "alpha") is None
    assert agreement(count(["11", "11"], 1), "ac") is None
    assert cross_agreement(alike, alike) is None


def test_linearised_errors_agree_with_the_jackknife():
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 300)
    labels = np.where(rng.random((300, 3)) < 0.7, truth[:, None], rng.integers(0, 3, (300, 3)))
    counts = np.stack([(labels == label).sum(axis=1) for label in range(3)], axis=1).astype(float)
    for kind in ("ac", "fleiss", "alpha"):
        left = [agreement(sparse.csr_array(np.delete(counts, row, axis=0)), kind).value for row in range(300)]
        jackknife = np.sqrt(299 / 300 * ((left - np.mean(left)) ** 2).sum())
        assert agreement(sparse.csr_array(counts), kind).error == pytest.approx(jackknife, rel=0.02)
