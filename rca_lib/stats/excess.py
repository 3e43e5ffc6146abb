"""How many errors of a slice would not be there, had it not changed.

Errors in the current audits are counted; what they would be is not known. Two steps tell it. First, all effects of the
baseline's model and the shifts s of all picks are fitted together to the current audits, with what the baseline knows
as the prior (Newton's method on the penalised likelihood). The errors that are usual in a slice are then the sum of
expit(log odds - s). Second, the number of errors that there would be anyway has that mean and the variance that the
slice has when nothing changed. The difference from the errors that there are is the excess.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from scipy.stats import beta, norm

from rca_lib.stats.cells import Array, moments
from rca_lib.stats.field import Field
from rca_lib.stats.precision import Precision, sum_effects
from rca_lib.stats.scores import Scores, add_tilt, fit_picks, know_effects, signed_root

ROUNDS = 12  # of Newton's method; what is left then is far below what is unsure
NEAR = 1e-6
STEPS = 1000


def expect_without(field: Field, members: Array, wandering: tuple[float, float] = (0.0, 0.0)) -> Array:
    """Return the errors expected in each pick (a row of 0 and 1 over the cells) without its own shift.

    What the other current audits tell of the effects, of raters who drift and of the other picks is in it.
    """
    members, firm = add_tilt(field, members)
    thin, logits, shifts, drift = fit_picks(field, members, firm)
    drift |= {one: wandering[0] for one in field.work if wandering[0]}
    sums, sizes, last = field.layout.sum_tables, field.layout.sizes, len(field.layout.sizes) - 1
    narrow, width = 1 + sum(sizes[:-1]), len(members)
    loose = {one: variance for one, variance in drift.items() if one != last}
    prior = field.baseline.known.loosen(drift.get(last, 0.0))
    effects = np.zeros(narrow + width + sum(sizes[one] for one in loose) + sizes[last])
    effects[narrow : narrow + width] = shifts
    for _ in range(ROUNDS):
        odds = logits + _add_up(field, effects, members, tuple(loose))
        info, _, gap = moments(thin.after, expit(odds))
        overlaps = (members * info) @ members.T + np.diag(firm)
        known, columns = know_effects(field, sums(info), [sums(info * one) for one in members], overlaps, drift)
        slope = np.concatenate([sum_effects(sums(gap), sizes, ())[0], members @ gap])[columns]
        step = known.solve(slope - _hold(prior, effects, firm, loose, sizes))
        effects = effects + np.clip(step, -2, 2)
        if np.abs(step).max() < NEAR:
            break
    odds, shifts = logits + _add_up(field, effects, members, tuple(loose)), effects[narrow : narrow + width]
    return np.array(
        [
            field.after.items @ (expit(odds - shift) * member)
            for shift, member in zip(shifts[1:], members[1:], strict=True)
        ]
    )


def _add_up(field: Field, effects: Array, members: Array, loose: tuple[int, ...]) -> Array:
    """Return what effects, shifts and drift add to the log odds of each cell."""
    codes, sizes = field.after.codes, field.layout.sizes
    widths = [1, *sizes[:-1], len(members), *(sizes[one] for one in loose)]
    first, *parts = np.split(effects, np.cumsum(widths))
    drifted = parts[len(sizes) : -1]
    total = first[0] + parts[len(sizes) - 1] @ members + parts[-1][codes[-1]]
    total += sum(part[codes[place]] for place, part in enumerate(parts[: len(sizes) - 1]))
    return total + sum(part[codes[one]] for one, part in zip(loose, drifted, strict=True))


def _hold(prior: Precision, effects: Array, firm: Array, loose: dict[int, float], sizes: tuple[int, ...]) -> Array:
    """Return how strongly what was known before holds each effect back."""
    narrow, last = 1 + sum(sizes[:-1]), sizes[-1]
    known = prior.multiply(np.concatenate([effects[:narrow], effects[-last:]]))
    free = np.concatenate([firm, *(np.full(sizes[one], 1 / variance) for one, variance in loose.items())])
    return np.concatenate([known[:narrow], free * effects[narrow:-last], known[narrow:]])


def count_new(scores: Scores, place: int, errors: float, usual: float, means: Array, height: float) -> Array:
    """Return how many of the errors would not be there, had the slice not become worse by so many standard deviations.

    The errors are counted, not drawn: what is unsure is how many there would be anyway. That number has the mean
    `usual`, the variance of the slice when nothing changed, and a beta distribution on the audits of the slice. A score
    of which m is change is due to luck with height - m, which tells the place in that distribution. The answer is never
    below none nor above all errors that there are.
    """
    mean = np.clip(usual / scores.items[place], 1e-12, 1 - 1e-12)
    variance = _variance(scores, place, usual) / scores.items[place] ** 2
    concentration = max(mean * (1 - mean) / variance - 1, 1e-3)
    anyway = beta.ppf(norm.cdf(height - means), mean * concentration, (1 - mean) * concentration)
    return np.clip(errors - anyway * scores.items[place], 0, errors)


def count_spared(scores: Scores, place: int, errors: float, usual: float, means: Array, height: float) -> Array:
    """Return minus the errors that a slice was spared, had it become better by so many standard deviations.

    What is unsure is how few errors so good a rate makes: none at best, which spares the `usual` ones.
    """
    steps = -np.linspace(0, usual, STEPS)
    share = usual / scores.expected[place]
    there = scores.items[place], usual, scores.info[place] * share
    spread = scores.noise[place] * share, _variance(scores, place, usual)
    reached = np.maximum.accumulate(np.abs(signed_root(*there, steps, *spread)))
    return np.interp(means, reached, steps)


def _variance(scores: Scores, place: int, usual: float) -> float:
    """Return the variance of the errors of a slice when nothing changed, at the number of them that is usual."""
    share, variance = usual / scores.expected[place], min(float(scores.variance[place]), 1e12)
    return float(scores.noise[place] * share + (variance - scores.noise[place]) * share**2)
