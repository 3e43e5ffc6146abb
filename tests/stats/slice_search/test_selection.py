"""The search over slices, on simulated counts with planted changes."""

import numpy as np
import pytest

from rca_lib.stats.slice_search.contingency import ContingencyTable
from rca_lib.stats.slice_search.selection import search_slices

SIZES = (6, 4, 3, 60)  # three properties of the work, and 60 raters
RATER = 3  # the dimension of the raters


def draw_periods(
    seed, *, change_log_odds=None, rater_change_sd=0.1, mix_shift=0.0, audits=(9000, 6000), draw_weights=None
):
    """Draw two periods with correlated dimensions and raters whose error rates differ and change.

    `change_log_odds(codes)` is the planted change of the current period; `mix_shift` moves work to difficult values.
    """
    rng = np.random.default_rng(seed)
    effects = [rng.normal(0, sd, size) for sd, size in zip((0.4, 0.3, 0.3, 0.35), SIZES, strict=True)]
    favourite = rng.integers(0, SIZES[0], SIZES[RATER])
    rater_changes = rng.normal(0, rater_change_sd, SIZES[RATER])
    periods = []
    for period, number in enumerate(audits):
        rater = rng.integers(0, SIZES[RATER], number)
        first = np.where(rng.random(number) < 0.5, favourite[rater], rng.integers(0, SIZES[0], number))
        second_weights = np.exp(mix_shift * period * effects[1])
        second = rng.choice(SIZES[1], number, p=second_weights / second_weights.sum())
        codes = np.array([first, second, (first + rng.integers(0, 2, number)) % SIZES[2], rater])
        logits = -2.6 + sum(effect[code] for effect, code in zip(effects, codes, strict=True))
        if period:
            logits = logits + rater_changes[rater] + (change_log_odds(codes) if change_log_odds else 0)
        errors = (rng.random(number) < 1 / (1 + np.exp(-logits))).astype(float)
        weight = np.ones(number) if draw_weights is None else draw_weights(number, rng)
        weight = weight * (weight.sum() / (weight**2).sum())
        periods.append(ContingencyTable(codes, weight, weight * errors, weight**2))
    return periods


def select_cells(table, cells):
    """Return some cells of a table, in this order."""
    return ContingencyTable(
        table.codes[:, cells], table.items[cells], table.errors[cells], table.squared_weights[cells]
    )


def find_slices(periods):
    """Return the selected slices (dimensions and values) and the sign of their change."""
    search = search_slices(*periods, SIZES, rater_dimension=RATER, alpha=0.05)
    return {(slice_.dimensions, slice_.values): int(np.sign(slice_.score)) for slice_ in search.selected}


@pytest.mark.parametrize("seed", range(4))
def test_a_single_value_that_changed_is_the_only_selected_slice(seed):
    periods = draw_periods(seed, change_log_odds=lambda codes: 1.0 * (codes[0] == 2))
    assert find_slices(periods) == {((0,), (2,)): 1}


@pytest.mark.parametrize("seed", range(4))
def test_a_pair_of_values_that_changed_is_selected_as_a_pair(seed):
    periods = draw_periods(seed, change_log_odds=lambda codes: 1.5 * ((codes[0] == 2) & (codes[1] == 1)))
    assert find_slices(periods) == {((0, 1), (2, 1)): 1}


@pytest.mark.parametrize("seed", range(4))
def test_an_improvement_that_masks_a_decline_is_selected_with_it(seed):
    periods = draw_periods(
        seed, change_log_odds=lambda codes: 1.2 * (codes[0] == 2) - 1.6 * (codes[1] == 3), audits=(20000, 16000)
    )
    assert find_slices(periods) == {((0,), (2,)): 1, ((1,), (3,)): -1}


@pytest.mark.parametrize("seed", range(4))
def test_a_single_rater_who_changed_is_selected(seed):
    periods = draw_periods(seed, change_log_odds=lambda codes: 2.5 * (codes[RATER] == 7))
    assert find_slices(periods) == {((RATER,), (7,)): 1}


@pytest.mark.parametrize("seed", range(4))
def test_a_change_of_all_work_is_selected_as_everywhere(seed):
    periods = draw_periods(seed, change_log_odds=lambda codes: 0.7 + 0.0 * codes[0])
    assert find_slices(periods) == {((), ()): 1}


def test_false_alarms_stay_within_alpha_if_nothing_changed():
    # 100 searches at .05: more than 12 alarms have a probability of .1 % under the stated level.
    alarms = sum(bool(find_slices(draw_periods(seed, audits=(4000, 3000)))) for seed in range(100, 200))
    assert alarms <= 12


def test_a_change_of_mix_is_not_reported_as_a_change_of_rates():
    alarms = sum(bool(find_slices(draw_periods(seed, mix_shift=2.0, audits=(4000, 3000)))) for seed in range(200, 260))
    assert alarms <= 9  # .05 of 60; more than 9 has a probability below .1 %


def test_random_changes_of_raters_are_not_reported_as_slices():
    alarms = sum(
        bool(find_slices(draw_periods(seed, rater_change_sd=0.4, audits=(6000, 5000)))) for seed in range(300, 350)
    )
    assert alarms <= 10  # stated .05, with changes of this size .08 is accepted: more than 10 of 50 below .5 %


def test_unequal_weights_do_not_raise_the_number_of_false_alarms():
    alarms = 0
    for seed in range(400, 450):
        periods = draw_periods(
            seed, audits=(4000, 3000), draw_weights=lambda number, rng: rng.lognormal(0, 1.0, number)
        )
        alarms += bool(find_slices(periods))
    assert alarms <= 8


def test_the_order_of_cells_does_not_matter():
    periods = draw_periods(1, change_log_odds=lambda codes: 1.0 * (codes[0] == 2))
    shuffled = [select_cells(table, np.random.default_rng(0).permutation(len(table.items))) for table in periods]
    original, reordered = (
        search_slices(*tables, SIZES, rater_dimension=RATER, alpha=0.05).selected[0] for tables in (periods, shuffled)
    )
    assert original.values == reordered.values
    assert original.excess == pytest.approx(reordered.excess, rel=1e-9)


def test_the_adjustment_for_the_search_lowers_weak_results_and_leaves_strong_ones():
    weak, strong = (
        search_slices(
            *draw_periods(0, change_log_odds=lambda codes, log_odds=log_odds: log_odds * (codes[RATER] == 7)),
            SIZES,
            rater_dimension=RATER,
            alpha=0.05,
        ).selected[0]
        for log_odds in (2.5, 5.0)
    )
    assert 0 < weak.excess < weak.naive_excess
    assert strong.excess == pytest.approx(strong.naive_excess, rel=0.02)  # the former is a mean, the latter a mode
    assert weak.low < weak.excess < weak.high


def test_a_detectable_excess_is_selected_in_four_of_five_cases():
    selected = 0
    for seed in range(60):
        search = search_slices(*draw_periods(seed), SIZES, rater_dimension=RATER, alpha=0.05)
        detectable = next(slice_ for slice_ in search.detectable if slice_.dimension == 0)
        expected_rate = detectable.expected_errors / detectable.items
        raised_rate = (detectable.expected_errors + detectable.excess) / detectable.items
        log_odds = np.log(raised_rate / (1 - raised_rate) * (1 - expected_rate) / expected_rate)
        periods = draw_periods(
            seed,
            change_log_odds=lambda codes, value=detectable.value, log_odds=log_odds: log_odds * (codes[0] == value),
        )
        selected += any(0 in dimensions for dimensions, _ in find_slices(periods))
    assert 39 <= selected <= 57  # 48 of 60 expected, sd 3.1


def test_a_value_that_the_baseline_lacks_is_not_selected_without_a_change():
    before, current = draw_periods(3)
    before = select_cells(before, before.codes[0] != 5)
    assert ((0,), (5,)) not in find_slices([before, current])


def draw_varying_cells(seed, cell_sd, log_odds=0.0, values=()):
    """Draw two periods of 1,000 cells with 2,000 audits each.

    Cells change at random on the log odds; `values` of the first dimension change by `log_odds`.
    """
    rng = np.random.default_rng(seed)
    codes = np.array(np.unravel_index(np.arange(1000), (10, 10, 10)))
    before = -2.5 + rng.normal(0, 0.3, 10)[codes[0]] + rng.normal(0, 0.3, 10)[codes[1]]
    offset = -(cell_sd**2) / 2 * (1 - 2 / (1 + np.exp(-before)))  # random changes alone do not raise the rates
    current = before + offset + rng.normal(0, cell_sd, 1000) + log_odds * np.isin(codes[0], values)
    items = np.full(1000, 2000.0)
    errors = [rng.binomial(2000, 1 / (1 + np.exp(-logits))).astype(float) for logits in (before, current)]
    return [ContingencyTable(codes, items, period_errors, items) for period_errors in errors]


def test_random_changes_of_cells_are_not_reported_as_slices():
    alarms = sum(
        bool(search_slices(*draw_varying_cells(seed, 0.2), (10, 10, 10), alpha=0.05).selected) for seed in range(30)
    )
    assert alarms <= 4  # 1.5 expected; 7 if cells counted in full


def test_three_values_with_one_cause_are_selected_rather_than_everywhere_with_exceptions():
    periods = draw_varying_cells(2, 0.1, log_odds=1.0, values=(1, 4, 6))
    selected = search_slices(*periods, (10, 10, 10), alpha=0.05).selected
    found = {(slice_.dimensions, slice_.values) for slice_ in selected}
    assert found == {((0,), (1,)), ((0,), (4,)), ((0,), (6,))}
