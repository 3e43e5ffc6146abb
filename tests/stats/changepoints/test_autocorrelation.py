"""Autocorrelation: the variance inflation of an AR(1) series is recovered."""

import numpy as np
import pytest

from rca_lib.stats.changepoints.autocorrelation import add_autocorrelation
from rca_lib.stats.changepoints.noise import estimate_noise


def test_autocorrelation_inflates_the_variance():
    generator = np.random.default_rng(4)
    values = np.zeros(2000)
    for index in range(1, 2000):
        values[index] = 0.7 * values[index - 1] + generator.normal()
    level = np.zeros(2000)
    noise = estimate_noise(values, None, level, 1, None)
    noise = add_autocorrelation(noise, values, None, level, 1, None)
    # long-run variance over variance of an AR(1) with 0.7 is 1.7 / 0.3 = 5.7
    assert noise.variance_inflation == pytest.approx(5.7, rel=0.15)
