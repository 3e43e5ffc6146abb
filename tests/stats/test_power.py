"""Sample sizes and minimum detectable changes against published numbers."""

import numpy as np
import pytest

from rca_lib.stats.power import minimum_detectable_change, sample_size_one_rate, sample_size_two_rates


@pytest.mark.parametrize(
    ("before", "after", "items"),
    [(0.05, 0.07, 2213), (0.05, 0.08, 1059), (0.05, 0.10, 435), (0.02, 0.03, 3826), (0.10, 0.12, 3841)],
)
def test_sample_sizes_of_two_rates_agree_with_published_tables(before, after, items):
    # two-sided 5 %, power 80 %, pooled variance under the null
    assert np.ceil(sample_size_two_rates(before, after)) == items
    assert minimum_detectable_change(before, items) == pytest.approx(after - before, rel=1e-3)


def test_sample_sizes_of_two_rates_agree_with_r_power_prop_test():
    # R power.prop.test: p .50 against .75 with power .90 takes 76.7; n = 50 has power .740, or shows .8026 with .90
    assert sample_size_two_rates(0.5, 0.75, power=0.9) == pytest.approx(76.7, abs=0.05)
    assert sample_size_two_rates(0.5, 0.75, power=0.740) == pytest.approx(50, abs=0.05)
    assert 0.5 + minimum_detectable_change(0.5, 50, power=0.9) == pytest.approx(0.8026, abs=5e-5)


def test_the_sample_size_of_one_rate_agrees_with_the_nist_handbook():
    # NIST 7.2.4.2: p0 .10, p1 .20, one-sided 5 % (two-sided 10 %), power 90 %: at least 102; corrected by 1/δ 112
    size = sample_size_one_rate(0.10, 0.20, alpha=0.10, power=0.9)
    assert np.ceil(size) == 102
    assert np.ceil(size + 1 / 0.10) == 112


def test_a_change_that_cannot_be_detected_is_nan():
    assert np.isnan(minimum_detectable_change(0.9, 5))
    assert np.isnan(minimum_detectable_change(0.1, 0))
    # 7.85 / 500: 7.85 = (1.96·√½·√2 + .84)² / 1
    assert minimum_detectable_change(0.0, 500) == pytest.approx(0.0156, abs=2e-4)
