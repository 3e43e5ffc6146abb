"""Baselines with hardly any errors: the slice with the new errors is named, with possible numbers."""

import numpy as np
import pandas as pd
import pytest

from rca_lib.questions.drivers import rank_drivers

POLICIES, RATERS = ["hate", "spam", "benign"], [f"r{number}" for number in range(6)]


def draw_period(seed, number, rate, *, raised_slice=None, raised_rate=1.0, **columns):
    """Draw audits with one error rate, and another one in the raised slice."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"policy": rng.choice(POLICIES, number), "rater": rng.choice(RATERS, number)})
    table["queue"] = rng.choice(["q1", "q2"], number, p=[0.8, 0.2])
    table["language"] = rng.choice(["de", "en", "fr", "pt"], number)
    rates = np.full(number, rate)
    if raised_slice:
        inside = np.logical_and.reduce([table[name] == value for name, value in raised_slice.items()])
        rates[inside] = raised_rate
    table["error"] = (rng.random(number) < rates).astype(int)
    return table.assign(**columns)


def check_numbers(drivers, current):
    """Check that excess stays within the errors, changes within 100 pp and shares within 100 %."""
    for part in (drivers.change, drivers.mix_effect, drivers.rate_effect, drivers.unexplained):
        assert -1 <= part.low <= part.value <= part.high <= 1
    for slice_ in drivers.named_slices:
        inside = np.logical_and.reduce([current[name] == value for name, value in slice_.where.items()] or [True])
        errors = int(current.loc[inside, "error"].sum()) if slice_.where else int(current["error"].sum())
        excess, share = slice_.excess, slice_.share
        assert excess.low <= excess.value <= excess.high
        if slice_.direction > 0:
            assert excess.low >= 0 and excess.high <= errors
        else:
            assert -slice_.expected_rate * slice_.items - 1e-6 <= excess.low and excess.high <= 0
        assert share is None or -1 <= share.low <= share.value <= share.high <= 1


SLICES = [{"policy": "hate"}, {"rater": "r3"}, {"queue": "q2"}, {"language": "en"}]


@pytest.mark.parametrize("raised_slice", SLICES, ids=lambda where: next(iter(where)))
@pytest.mark.parametrize(("number", "rate"), [(300, 0.0), (1000, 0.002), (1000, 0.01), (3000, 0.003), (2000, 0.02)])
@pytest.mark.parametrize("raised_rate", [0.3, 1.0])
def test_the_slice_with_the_new_errors_is_named_first(raised_slice, number, rate, raised_rate):
    baseline = draw_period(1, number, rate)
    current = draw_period(2, number, rate, raised_slice=raised_slice, raised_rate=raised_rate)
    drivers = rank_drivers(baseline, current, ["policy", "queue", "language"])
    assert drivers.named_slices[0].where == raised_slice and drivers.named_slices[0].direction == 1
    assert len(drivers.named_slices) <= 2
    check_numbers(drivers, current)


@pytest.mark.parametrize("seed", range(3))
def test_a_pair_of_values_is_named_with_hardly_any_errors_before(seed):
    where = {"policy": "hate", "language": "en"}
    baseline = draw_period(seed, 2000, 0.004)
    current = draw_period(seed + 50, 2000, 0.004, raised_slice=where, raised_rate=0.8)
    drivers = rank_drivers(baseline, current, ["policy", "queue", "language"])
    assert [slice_.where for slice_ in drivers.named_slices] == [where]
    check_numbers(drivers, current)


def test_a_policy_that_had_no_errors_is_named_although_others_always_had_some():
    # Five percent of errors elsewhere. One policy with 400 of 4,000 audits has none before and only errors afterwards.
    def draw_with_failing_policy(seed, fails):
        table = draw_period(seed, 4000, 0.05)
        is_failing = np.arange(4000) < 400
        policy = table["policy"].where(~is_failing, "minors")
        return table.assign(policy=policy, error=np.where(is_failing, int(fails), table["error"]))

    baseline, current = draw_with_failing_policy(1, False), draw_with_failing_policy(2, True)
    drivers = rank_drivers(baseline, current, ["policy", "queue", "language"])
    assert [slice_.where for slice_ in drivers.named_slices] == [{"policy": "minors"}]
    assert 395 <= drivers.named_slices[0].excess.value <= 400


def test_weights_do_not_hide_the_slice():
    weight = np.random.default_rng(5).choice([1.0, 4.0], 1000)
    baseline = draw_period(1, 1000, 0.005, weight=weight)
    current = draw_period(2, 1000, 0.005, raised_slice={"policy": "hate"}, weight=weight)
    drivers = rank_drivers(baseline, current, ["policy", "queue"])
    assert drivers.named_slices[0].where == {"policy": "hate"}
    check_numbers(drivers, current)


def test_a_tiny_baseline_does_not_hide_the_slice():
    baseline, current = draw_period(1, 40, 0.0), draw_period(2, 1000, 0.004, raised_slice={"policy": "hate"})
    drivers = rank_drivers(baseline, current, ["policy", "queue"])
    assert {"policy": "hate"} in [slice_.where for slice_ in drivers.slices]
    check_numbers(drivers, current)


def test_an_improvement_to_zero_avoids_no_more_errors_than_expected():
    baseline, current = (
        draw_period(1, 2000, 0.005, raised_slice={"policy": "hate"}, raised_rate=0.3),
        draw_period(2, 2000, 0.005),
    )
    drivers = rank_drivers(baseline, current, ["policy", "queue", "language"])
    assert [(slice_.where, slice_.direction) for slice_ in drivers.named_slices] == [({"policy": "hate"}, -1)]
    check_numbers(drivers, current)


def test_an_increase_of_all_work_from_hardly_any_errors_is_reported_as_everywhere():
    baseline, current = draw_period(1, 1500, 0.004), draw_period(2, 1500, 0.15)
    drivers = rank_drivers(baseline, current, ["policy", "queue", "language"])
    assert [slice_.where for slice_ in drivers.named_slices] == [{}]
    check_numbers(drivers, current)


def test_an_auditor_who_finds_all_errors_is_named_as_measurement():
    auditors = np.random.default_rng(9).choice(["a1", "a2", "a3", "a4"], 1200)
    baseline, current = (draw_period(seed, 1200, 0.003, auditor=auditors) for seed in (1, 2))
    current.loc[current["auditor"] == "a2", "error"] = 1
    drivers = rank_drivers(baseline, current, ["policy", "queue"])
    assert drivers.named_slices[0].where == {"auditor": "a2"} and drivers.named_slices[0].is_measurement


@pytest.mark.parametrize("rate", [0.0, 0.002, 0.01])
def test_nothing_is_named_with_hardly_any_errors_in_both_periods(rate):
    alarms = 0
    for seed in range(40):
        periods = draw_period(seed, 600, rate), draw_period(seed + 1000, 600, rate)
        alarms += bool(rank_drivers(*periods, ["policy", "queue", "language"]).named_slices)
    assert alarms <= 6  # .05 of 40 is 2; more than 6 has a probability below .4 %


def draw_hiring_classes(seed, *, new):
    """Draw audits of four hiring classes of eight raters; a new fifth class has five times the odds of an error."""
    rng, number = np.random.default_rng(seed), 6000
    hired = rng.integers(0, 4, number)
    hired = np.where(new & (rng.random(number) < 0.15), 4, hired)
    rater = hired * 8 + rng.integers(0, 8, number)
    log_odds = -3 + np.random.default_rng(seed // 10).normal(0, 0.25, 40)[rater] + np.log(5) * (hired == 4)
    table = pd.DataFrame({"hiring_class": hired, "rater": rater, "queue": rng.choice(["q1", "q2"], number)}).astype(str)
    return table.assign(error=(rng.random(number) < 1 / (1 + np.exp(-log_odds))).astype(int))


def test_a_new_hiring_class_is_named_and_not_taken_for_random_changes_of_raters():
    correct = 0
    for seed in range(10, 90, 10):
        drivers = rank_drivers(
            draw_hiring_classes(seed, new=False), draw_hiring_classes(seed + 1, new=True), ["hiring_class", "queue"]
        )
        named = [slice_.where for slice_ in drivers.named_slices]
        new_class = [slice_ for slice_ in drivers.named_slices if slice_.where == {"hiring_class": "4"}]
        assert {} not in named
        assert all(slice_.direction > 0 for slice_ in new_class)
        correct += bool(named) and named[0] == {"hiring_class": "4"} and drivers.named_slices[0].is_new
    assert correct >= 6
