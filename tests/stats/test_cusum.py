"""CUSUM against a published example and its published run lengths."""

import numpy as np
import pytest

from rca_lib.stats.cusum import compute_cusum

# Montgomery, Introduction to Statistical Quality Control, example 9.1: mean 10, standard deviation 1, shifted after 20.
SHIFTED = (
    "9.45 7.99 9.29 11.66 12.16 10.18 8.04 11.46 9.20 10.34 9.03 11.47 10.51 9.40 10.08 "
    "9.37 10.62 10.31 8.52 10.84 10.90 9.33 12.29 11.50 10.60 11.08 10.38 11.62 11.31 10.52"
)


def test_cusum_of_montgomery_signals_at_29_and_began_to_grow_at_23():
    cusum = compute_cusum(np.array(SHIFTED.split(), float) - 10)
    assert cusum.high[28] == pytest.approx(5.28, abs=0.005)
    assert [position + 1 for position in cusum.signals] == [29]
    assert [position + 1 for position in cusum.shift_starts] == [23]


def test_cusum_has_one_false_signal_in_465_steps_and_detects_one_sigma_in_ten():
    generator = np.random.default_rng(1)

    def mean_run_length(shift: float, runs: int) -> float:
        lengths = [compute_cusum(generator.normal(shift, 1, 5000)).signals[0] + 1 for _ in range(runs)]
        return float(np.mean(lengths))

    assert mean_run_length(0.0, 150) == pytest.approx(465, rel=0.25)
    assert mean_run_length(1.0, 150) == pytest.approx(10.4, rel=0.1)
