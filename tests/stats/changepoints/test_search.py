"""Changepoint search: detection, dating intervals and false-alarm rate."""

import numpy as np
import pytest

from rca_lib.stats.changepoints.search import find_changepoints
from rca_lib.stats.changepoints.segmentation import MIN_SEGMENT_STEPS
from rca_lib.stats.changepoints.significance import tail_probability


def draw(seed: int, rates: np.ndarray, *, items: int = 100, rho: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Draw beta-binomial errors around these rates; return errors and items."""
    generator = np.random.default_rng(seed)
    drawn = generator.beta(rates * (1 - rho) / rho, (1 - rates) * (1 - rho) / rho) if rho else rates
    return generator.binomial(items, drawn).astype(float), np.full(len(rates), float(items))


def step(before: float, after: float, position: int, n_steps: int) -> np.ndarray:
    return np.where(np.arange(n_steps) < position, before, after)


def test_a_doubled_rate_is_dated_within_its_interval():
    results = [find_changepoints(*draw(seed, step(0.06, 0.12, 60, 100))).changepoints for seed in range(60)]
    single = [changes[0] for changes in results if len(changes) == 1]
    assert len(single) >= 50
    # 95 % intervals: of 50 or more, fewer than 44 in 50 hold the date with a probability below 1 %
    assert np.mean([change.low <= 60 <= change.high for change in single]) >= 0.88


def test_false_alarms_keep_to_alpha():
    alarms = sum(bool(find_changepoints(*draw(seed, np.full(100, 0.06))).changepoints) for seed in range(300))
    assert alarms <= 24  # 15 expected at 5 %; more than 24 has a probability of 1 %


def test_a_larger_alpha_reports_more_changes():
    all_series = [draw(seed, step(0.06, 0.08, 50, 100)) for seed in range(60)]
    n_reported = [
        sum(bool(find_changepoints(*series, alpha=alpha).changepoints) for series in all_series)
        for alpha in (0.001, 0.05, 0.3)
    ]
    assert n_reported[0] < n_reported[1] < n_reported[2]


def test_a_change_is_reported_if_its_p_value_is_at_most_alpha():
    for seed in range(40):
        result = find_changepoints(*draw(seed, step(0.06, 0.08, 50, 100)))
        assert bool(result.changepoints) == (result.p_value <= 0.05)


def test_start_and_end_of_a_bad_month_are_found():
    rates = np.r_[np.full(40, 0.05), np.full(30, 0.12), np.full(40, 0.05)]
    positions = [change.position for change in find_changepoints(*draw(7, rates)).changepoints]
    assert len(positions) == 2
    assert positions == pytest.approx([40, 70], abs=5)


def test_a_slope_is_called_a_drift_and_its_interval_holds_the_onset():
    rates = 0.05 * np.exp(np.log(3) * np.clip((np.arange(150) - 60) / 89, 0, 1))
    results = [find_changepoints(*draw(seed, rates, items=300)).changepoints for seed in range(20)]
    drifts = [changes[0] for changes in results if len(changes) == 1 and changes[0].kind == "drift"]
    assert len(drifts) >= 14
    assert np.mean([drift.low <= 60 <= drift.high for drift in drifts]) >= 0.8


def test_a_short_deviation_is_a_spike_and_no_change():
    rates = np.full(100, 0.06)
    rates[50:52] = 0.3
    result = find_changepoints(*draw(3, rates))
    assert [(spike.position, spike.length) for spike in result.noise.spikes] == [(50, 2)]
    assert result.changepoints == ()


def test_first_and_last_level_last_at_least_the_shortest_segment():
    errors = np.full(30, 5.0)
    errors[-3:] = 40
    result = find_changepoints(errors, np.full(30, 100.0))
    assert all(change.position <= 30 - MIN_SEGMENT_STEPS for change in result.changepoints)


def test_a_step_of_a_measurement_is_found_and_a_constant_level_is_quiet():
    generator = np.random.default_rng(1)
    constant = generator.normal(50, 4, 120)
    stepped = constant + 10 * (np.arange(120) >= 70)
    assert find_changepoints(constant).changepoints == ()
    assert [change.position for change in find_changepoints(stepped).changepoints] == pytest.approx([70], abs=2)


@pytest.mark.parametrize("n_steps", [2, 5, 8, 20])
def test_short_series_have_a_result(n_steps):
    assert len(find_changepoints(np.full(n_steps, 3.0), np.full(n_steps, 50.0)).level) == n_steps


def test_constant_series_have_no_change():
    assert find_changepoints(np.zeros(50), np.full(50, 100.0)).changepoints == ()
    assert find_changepoints(np.full(50, 3.0)).changepoints == ()


def test_tail_probability_decreases_with_the_evidence():
    probabilities = [tail_probability(evidence, 100) for evidence in (-5.0, 0.0, 1.0, 8.0)]
    assert probabilities == sorted(probabilities, reverse=True)
    assert probabilities[0] == 1.0
    assert probabilities[-1] < 0.001
