"""The search over slices, on plain counts."""

import numpy as np
import pytest
from scipy.stats import norm, poisson

from rca_lib.stats.cells import Cells
from rca_lib.stats.drift import thin_cells
from rca_lib.stats.expected import fit_baseline
from rca_lib.stats.scores import signed_root
from rca_lib.stats.slices import search_slices

SIZES = (6, 4, 3, 60)  # three properties of the work, and 60 raters


def _draw(seed, *, raise_odds=None, drift=0.1, tilt=0.0, audits=(9000, 6000), weights=None):
    """Two periods with correlated dimensions and raters who differ and drift; `raise_odds(codes)` is what changed."""
    draw = np.random.default_rng(seed)
    effects = [draw.normal(0, spread, size) for spread, size in zip((0.4, 0.3, 0.3, 0.35), SIZES, strict=True)]
    favourite = draw.integers(0, SIZES[0], SIZES[3])
    drifts = draw.normal(0, drift, SIZES[3])
    periods = []
    for period, number in enumerate(audits):
        rater = draw.integers(0, SIZES[3], number)
        first = np.where(draw.random(number) < 0.5, favourite[rater], draw.integers(0, SIZES[0], number))
        steep = np.exp(tilt * period * effects[1])
        second = draw.choice(SIZES[1], number, p=steep / steep.sum())
        codes = np.array([first, second, (first + draw.integers(0, 2, number)) % SIZES[2], rater])
        logits = -2.6 + sum(effect[code] for effect, code in zip(effects, codes, strict=True))
        if period:
            logits = logits + drifts[rater] + (raise_odds(codes) if raise_odds else 0)
        errors = (draw.random(number) < 1 / (1 + np.exp(-logits))).astype(float)
        weight = np.ones(number) if weights is None else weights(codes, draw)
        scale = weight.sum() / (weight**2).sum()
        periods.append(Cells(codes, weight * scale, weight * scale * errors, (weight * scale) ** 2))
    return periods


def _found(cells):
    search = search_slices(*cells, SIZES, cluster=3, alpha=0.05)
    return {(pick.dimensions, pick.values): int(np.sign(pick.score)) for pick in search.picks}


@pytest.mark.parametrize("seed", range(4))
def test_one_value_that_changed_is_named_alone(seed):
    assert _found(_draw(seed, raise_odds=lambda codes: 1.0 * (codes[0] == 2))) == {((0,), (2,)): 1}


@pytest.mark.parametrize("seed", range(4))
def test_a_pair_that_changed_is_named_at_its_own_level(seed):
    cells = _draw(seed, raise_odds=lambda codes: 1.5 * ((codes[0] == 2) & (codes[1] == 1)))
    assert _found(cells) == {((0, 1), (2, 1)): 1}


@pytest.mark.parametrize("seed", range(4))
def test_an_improvement_that_masks_a_decline_is_named_beside_it(seed):
    odds = lambda codes: 1.2 * (codes[0] == 2) - 1.6 * (codes[1] == 3)  # noqa: E731
    cells = _draw(seed, raise_odds=odds, audits=(20000, 16000))
    assert _found(cells) == {((0,), (2,)): 1, ((1,), (3,)): -1}


@pytest.mark.parametrize("seed", range(4))
def test_one_rater_who_changed_is_named(seed):
    assert _found(_draw(seed, raise_odds=lambda codes: 2.5 * (codes[3] == 7))) == {((3,), (7,)): 1}


@pytest.mark.parametrize("seed", range(4))
def test_a_change_of_everything_is_named_everywhere_not_as_ten_slices(seed):
    assert _found(_draw(seed, raise_odds=lambda codes: 0.7 + 0.0 * codes[0])) == {((), ()): 1}


def test_the_search_is_quiet_when_nothing_changed():
    # 100 searches at .05: more than 12 alarms have a probability of .1 % under the promise.
    alarms = sum(bool(_found(_draw(seed, audits=(4000, 3000)))) for seed in range(100, 200))
    assert alarms <= 12


def test_a_change_of_mix_is_not_a_change_of_rates():
    alarms = sum(bool(_found(_draw(seed, tilt=2.0, audits=(4000, 3000)))) for seed in range(200, 260))
    assert alarms <= 9  # .05 of 60; more than 9 has a probability below .1 %


def test_raters_who_drift_do_not_pass_for_slices():
    alarms = sum(bool(_found(_draw(seed, drift=0.4, audits=(6000, 5000)))) for seed in range(300, 350))
    assert alarms <= 10  # the promise is .05, drift of this size is allowed .08: more than 10 of 50 below .5 %


def test_weights_that_vary_do_not_raise_the_alarms():
    alarms = sum(
        bool(
            _found(_draw(seed, audits=(4000, 3000), weights=lambda codes, draw: draw.lognormal(0, 1.0, codes.shape[1])))
        )
        for seed in range(400, 450)
    )
    assert alarms <= 8


def test_the_order_of_the_cells_does_not_matter():
    before, after = _draw(1, raise_odds=lambda codes: 1.0 * (codes[0] == 2))
    shuffled = []
    for cells in (before, after):
        order = np.random.default_rng(0).permutation(len(cells.items))
        shuffled.append(Cells(cells.codes[:, order], cells.items[order], cells.errors[order], cells.squares[order]))
    one, other = (search_slices(*pair, SIZES, cluster=3, alpha=0.05).picks[0] for pair in ((before, after), shuffled))
    assert one.values == other.values and one.excess == pytest.approx(other.excess, rel=1e-9)


def test_the_allowance_for_the_search_lowers_weak_finds_and_leaves_strong_ones():
    weak, strong = (
        search_slices(
            *_draw(0, raise_odds=lambda codes, odds=odds: odds * (codes[3] == 7)), SIZES, cluster=3, alpha=0.05
        ).picks[0]
        for odds in (2.5, 5.0)
    )
    assert 0 < weak.excess < weak.naive
    assert strong.excess == pytest.approx(strong.naive, rel=0.02)  # a mean, where that is the mode
    assert weak.low < weak.excess < weak.high


def test_what_was_detectable_is_named_in_four_of_five_cases():
    named = 0
    for seed in range(60):
        detectable = search_slices(*_draw(seed), SIZES, cluster=3, alpha=0.05).detectable
        value, items, expected, excess = next(one[1:] for one in detectable if one[0] == 0)
        old, new = expected / items, (expected + excess) / items
        odds = np.log(new / (1 - new) * (1 - old) / old)
        cells = _draw(seed, raise_odds=lambda codes, at=value, odds=odds: odds * (codes[0] == at))
        named += any(pick[0] == (0,) or 0 in pick[0] for pick in _found(cells))
    assert 39 <= named <= 57  # 48 of 60 expected, sd 3.1


def test_the_baseline_model_recovers_its_effects():
    # 40,000 audits; a logistic effect of 0.8 in one value of six, nothing elsewhere: sd of each effect about 0.06.
    draw = np.random.default_rng(2)
    codes = np.array([draw.integers(0, 6, 40000), draw.integers(0, 300, 40000)])
    errors = (draw.random(40000) < 1 / (1 + np.exp(2.5 - 0.8 * (codes[0] == 3)))).astype(float)
    fitted = fit_baseline(Cells(codes, np.ones(40000), errors, np.ones(40000)), (6, 300))
    rise = fitted.effects[0][3] - np.delete(fitted.effects[0], 3).mean()
    assert rise == pytest.approx(0.8, abs=0.15)
    assert np.abs(fitted.effects[1]).max() < 0.4


def test_a_value_that_the_baseline_lacks_is_expected_with_its_prior_doubt():
    before, after = _draw(3)
    keep = before.codes[0] != 5
    before = Cells(before.codes[:, keep], before.items[keep], before.errors[keep], before.squares[keep])
    fitted = fit_baseline(before, SIZES)
    assert fitted.effects[0][5] == pytest.approx(0, abs=1e-6)
    assert ((0,), (5,)) not in _found([before, after])


def _scattered(seed, scatter, odds=0.0, values=()):
    """Two periods of 1,000 cells with 2,000 audits each; cells move on their own, and values of the first dimension."""
    draw = np.random.default_rng(seed)
    codes = np.array(np.unravel_index(np.arange(1000), (10, 10, 10)))
    base = -2.5 + draw.normal(0, 0.3, 10)[codes[0]] + draw.normal(0, 0.3, 10)[codes[1]]
    mean = -(scatter**2) / 2 * (1 - 2 / (1 + np.exp(-base)))  # scatter alone does not raise the rates
    moved = base + mean + draw.normal(0, scatter, 1000) + odds * np.isin(codes[0], values)
    items = np.full(1000, 2000.0)
    errors = [draw.binomial(2000, 1 / (1 + np.exp(-one))).astype(float) for one in (base, moved)]
    return [Cells(codes, items, one, items) for one in errors]


def test_cells_that_scatter_count_for_what_they_tell():
    draw, items = np.random.default_rng(0), np.full(1000, 2000.0)
    for scatter in (0.0, 0.3):
        rates = 1 / (1 + np.exp(2.5 - draw.normal(0, scatter, 1000)))
        cells = Cells(np.zeros((1, 1000), int), items, draw.binomial(2000, rates).astype(float), items)
        thin = thin_cells(cells, np.full(1000, rates.mean()))
        # A cell's log odds have the variance 1 / information of its audits, and that of its own.
        information = 2000 * rates.mean() * (1 - rates.mean())
        assert thin.items == pytest.approx(items / (1 + scatter**2 * information), rel=0.15)


def test_scatter_of_cells_is_no_slice():
    named = [len(search_slices(*_scattered(seed, 0.2), (10, 10, 10), alpha=0.05).picks) for seed in range(30)]
    assert sum(one > 0 for one in named) <= 4  # 1.5 expected; were cells taken at their counts, 7


def test_three_values_that_share_a_cause_are_named_not_everything_with_exceptions():
    cells = _scattered(2, 0.1, odds=1.0, values=(1, 4, 6))
    found = search_slices(*cells, (10, 10, 10), alpha=0.05).picks
    assert {(pick.dimensions, pick.values) for pick in found} == {((0,), (1,)), ((0,), (4,)), ((0,), (6,))}


@pytest.mark.parametrize("mean", [3, 5, 9, 15, 25, 40])
def test_scores_of_few_errors_are_those_of_their_exact_chance(mean):
    errors = np.arange(3 * mean + 8)
    chance = poisson.cdf(errors - 1, mean) + poisson.pmf(errors, mean) / 2
    above = poisson.sf(errors, mean) + poisson.pmf(errors, mean) / 2
    exact = np.where(chance < 0.5, norm.ppf(chance), norm.isf(above))
    noise, items, means = (np.full(len(errors), float(one)) for one in (mean * (1 - mean / 1e7), 1e7, mean))
    kept = np.abs(exact) < 5.5
    assert signed_root(items, means, noise, errors - means, noise, noise)[kept] == pytest.approx(exact[kept], abs=0.09)
