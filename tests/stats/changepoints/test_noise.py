"""Noise of a series: overdispersion, season and design effect are recovered."""

import numpy as np
import pytest

from rca_lib.stats.changepoints.noise import compute_design_effect, estimate_noise


def draw_binomial(seed: int, rates: np.ndarray, items: int) -> tuple[np.ndarray, np.ndarray]:
    errors = np.random.default_rng(seed).binomial(items, rates).astype(float)
    return errors, np.full(len(rates), float(items))


def test_overdispersion_is_recovered():
    # by the parameters of the beta distribution, two audits of a day have a correlation of 0.02
    generator = np.random.default_rng(5)
    rates = generator.beta(np.full(2000, 0.1) * 0.98 / 0.02, np.full(2000, 0.9) * 0.98 / 0.02)
    errors, items = generator.binomial(100, rates).astype(float), np.full(2000, 100.0)
    noise = estimate_noise(errors, items, np.full(2000, errors.sum() / items.sum()), 1, None)
    assert noise.overdispersion == pytest.approx(0.02, abs=0.004)
    assert noise.variance_inflation < 1.2


def test_a_season_is_recovered():
    phase = np.arange(210) % 7
    factors = np.array([1.5, 1, 1, 1, 1, 0.75, 0.75])
    errors, items = draw_binomial(2, 0.1 * factors[phase], 200)
    noise = estimate_noise(errors, items, np.full(210, 0.1), 1, phase)
    assert noise.season == pytest.approx(factors, abs=0.15)


def test_a_series_without_season_rarely_gets_one():
    phase = np.arange(210) % 7
    level = np.full(210, 0.1)
    all_series = [draw_binomial(seed, level, 200) for seed in range(100)]
    n_seasons = sum(bool(estimate_noise(*series, level, 1, phase).season) for series in all_series)
    assert n_seasons <= 6  # 2 expected at 2 %; more than 6 has a probability below 1 %


def test_design_effect_of_unequal_steps_is_that_computed_by_hand():
    # (50 × (1 + 49 × .1) + 150 × (1 + 149 × .1)) / 200 = 13.4
    assert compute_design_effect(np.array([50.0, 150.0]), 0.1) == pytest.approx(13.4)
