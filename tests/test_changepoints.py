"""The segmentation: what it finds, how sure it is, how often it is wrong."""

import numpy as np
import pytest

from rca_lib.stats.changepoints import find_shifts, tail_probability
from rca_lib.stats.cuts import SHORTEST
from rca_lib.stats.overdispersion import add_memory, design_effect, estimate_noise, find_bursts


def draw(seed: int, rates: np.ndarray, *, items: int = 100, rho: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Draw beta-binomial errors around these rates."""
    generator = np.random.default_rng(seed)
    drawn = generator.beta(rates * (1 - rho) / rho, (1 - rates) * (1 - rho) / rho) if rho else rates
    return generator.binomial(items, drawn).astype(float), np.full(len(rates), float(items))


def step(before: float, after: float, at: int, steps: int) -> np.ndarray:
    return np.where(np.arange(steps) < at, before, after)


def test_a_doubled_rate_is_dated_within_its_interval():
    found = [find_shifts(*draw(seed, step(0.06, 0.12, 60, 100))).shifts for seed in range(60)]
    named = [shifts for shifts in found if len(shifts) == 1]
    assert len(named) >= 50
    # 95 % intervals: of 50 or more, fewer than 44 in 50 hold the date with a probability below 1 %
    assert np.mean([shifts[0].low <= 60 <= shifts[0].high for shifts in named]) >= 0.88


def test_alarms_without_change_keep_to_alpha():
    alarms = sum(bool(find_shifts(*draw(seed, np.full(100, 0.06))).shifts) for seed in range(300))
    assert alarms <= 24  # 15 expected at 5 %; more than 24 has a probability of 1 %


def test_a_greater_alpha_names_more():
    series = [draw(seed, step(0.06, 0.08, 50, 100)) for seed in range(60)]
    named = [sum(bool(find_shifts(*one, alpha=alpha).shifts) for one in series) for alpha in (0.001, 0.05, 0.3)]
    assert named[0] < named[1] < named[2]


def test_p_value_and_alpha_agree_on_what_is_named():
    for seed in range(40):
        found = find_shifts(*draw(seed, step(0.06, 0.08, 50, 100)))
        assert bool(found.shifts) == (found.p_value <= 0.05)


def test_both_ends_of_a_bad_month_are_found():
    rates = np.r_[np.full(40, 0.05), np.full(30, 0.12), np.full(40, 0.05)]
    positions = [shift.position for shift in find_shifts(*draw(7, rates)).shifts]
    assert len(positions) == 2
    assert positions == pytest.approx([40, 70], abs=5)


def test_a_slope_is_named_drift_and_its_onset_covered():
    rates = 0.05 * np.exp(np.log(3) * np.clip((np.arange(150) - 60) / 89, 0, 1))
    found = [find_shifts(*draw(seed, rates, items=300)).shifts for seed in range(20)]
    drifts = [shifts[0] for shifts in found if len(shifts) == 1 and shifts[0].kind == "drift"]
    assert len(drifts) >= 14
    assert np.mean([drift.low <= 60 <= drift.high for drift in drifts]) >= 0.8


def test_a_spike_is_a_burst_and_no_shift():
    rates = np.full(100, 0.06)
    rates[50:52] = 0.3
    found = find_shifts(*draw(3, rates))
    assert [(burst.position, burst.length) for burst in found.noise.bursts] == [(50, 2)]
    assert found.shifts == ()


def test_a_step_is_no_burst():
    errors = np.r_[np.full(20, 5.0), np.full(20, 25.0)]
    assert find_bursts(errors, np.full(40, 1.0), counts=True) == ()


def test_the_first_and_last_level_last_at_least_the_shortest_segment():
    errors = np.full(30, 5.0)
    errors[-3:] = 40
    assert all(shift.position <= 30 - SHORTEST for shift in find_shifts(errors, np.full(30, 100.0)).shifts)


def test_overdispersion_is_recovered():
    # the correlation of two audits of a day is 0.02 by the beta's parameters
    errors, items = draw(5, np.full(2000, 0.1), rho=0.02)
    noise = estimate_noise(errors, items, np.full(2000, errors.sum() / items.sum()), 1, None)
    assert noise.overdispersion == pytest.approx(0.02, abs=0.004)
    assert noise.inflation < 1.2


def test_season_is_recovered_and_absent_season_left_out():
    phase = np.arange(210) % 7
    factors = np.array([1.5, 1, 1, 1, 1, 0.75, 0.75])
    errors, items = draw(2, 0.1 * factors[phase], items=200, rho=0.0)
    noise = estimate_noise(errors, items, np.full(210, 0.1), 1, phase)
    assert noise.season == pytest.approx(factors, abs=0.15)
    flat = [draw(seed, np.full(210, 0.1), items=200, rho=0.0) for seed in range(100)]
    shown = sum(bool(estimate_noise(*one, np.full(210, 0.1), 1, phase).season) for one in flat)
    assert shown <= 6  # 2 expected at 2 %; more than 6 has a probability below 1 %


def test_memory_inflates_the_variance():
    generator = np.random.default_rng(4)
    values = np.zeros(2000)
    for index in range(1, 2000):
        values[index] = 0.7 * values[index - 1] + generator.normal()
    # long-run variance over variance of an AR(1) with 0.7 is 1.7 / 0.3 = 5.7
    level = np.zeros(2000)
    noise = add_memory(estimate_noise(values, None, level, 1, None), values, None, level, 1, None)
    assert noise.inflation == pytest.approx(5.7, rel=0.15)


def test_design_effect_of_unequal_steps():
    # (50 × (1 + 49 × .1) + 150 × (1 + 149 × .1)) / 200 = 13.4
    assert design_effect(np.array([50.0, 150.0]), 0.1) == pytest.approx(13.4)


def test_tail_probability_falls_with_the_evidence():
    chances = [tail_probability(evidence, 100) for evidence in (-5.0, 0.0, 1.0, 8.0)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] == 1.0
    assert chances[-1] < 0.001


def test_a_measurement_step_is_found_and_a_flat_one_is_quiet():
    generator = np.random.default_rng(1)
    flat = generator.normal(50, 4, 120)
    assert find_shifts(flat).shifts == ()
    assert [shift.position for shift in find_shifts(flat + 10 * (np.arange(120) >= 70)).shifts] == pytest.approx(
        [70], abs=2
    )


@pytest.mark.parametrize("steps", [2, 5, 8, 20])
def test_short_series_are_answered(steps):
    assert len(find_shifts(np.full(steps, 3.0), np.full(steps, 50.0)).level) == steps


def test_constant_series_are_steady():
    assert find_shifts(np.zeros(50), np.full(50, 100.0)).shifts == ()
    assert find_shifts(np.full(50, 3.0)).shifts == ()
