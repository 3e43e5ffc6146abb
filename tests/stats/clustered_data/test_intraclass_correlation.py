"""The correlation of judgments of one item."""

import numpy as np
import pytest

from rca_lib.stats.clustered_data.intraclass_correlation import estimate_intraclass_correlation


def test_the_correlation_of_judgments_is_recovered():
    rng = np.random.default_rng(1)
    for correlation in (0.0, 0.1, 0.4):
        concentration = np.inf if correlation == 0 else 1 / correlation - 1
        rate = np.full(4000, 0.1) if correlation == 0 else rng.beta(0.1 * concentration, 0.9 * concentration, 4000)
        judgments = rng.integers(1, 9, 4000)
        errors = rng.binomial(judgments, rate).astype(float)
        estimate = estimate_intraclass_correlation(errors, judgments.astype(float))
        assert estimate == pytest.approx(correlation, abs=0.03)


def test_the_correlation_is_0_without_errors_or_repeated_judgments():
    assert estimate_intraclass_correlation(np.zeros(5), np.full(5, 4.0)) == 0
    assert estimate_intraclass_correlation(np.ones(5), np.ones(5)) == 0
