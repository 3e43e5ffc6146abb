"""Codes learned from few coded points and many uncoded ones, with probabilities that can be taken at their word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
GAUSSIAN_AXES = 80
UNCODED = 0.1  # what an uncoded point counts as: with 1 thousands of guesses drown two hundred codes
SHRINKAGE, ROUNDS, SETTLED = 0.1, 15, 0.01
STRENGTH, MIXED, FOLDS = 30.0, 0.2, 10  # of the logistic's freedom; the Gaussians' part of the log odds; cross-fitting
SLIPS = (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3)  # of the codes that people give


@dataclass(frozen=True, slots=True, eq=False)
class Coding:
    """Chances of each code (columns): of the points asked for, and of the coded points by what the others tell."""

    asked: Array
    crossed: Array


def learn_codes(known: Array, codes: Codes, free: Array, *, seed: int = 0) -> Coding:
    """Learn codes (0, 1 …, two or more) from coded points `known`, and give the chances of each for the `free` ones.

    Two models read the points. Codes as Gaussians of one shrunk covariance, refined on the free points by expectation
    and maximisation (Nigam et al. 2000); and a logistic regression that weighs codes evenly. Their log odds are mixed,
    one to four; a temperature (Guo et al. 2017) and a share of slips of the coders are chosen by how well the stated
    chance of the likeliest code holds in ten-fold cross-fitting, so that no coded point is lost to them.

    Notes
    -----
    Settings were chosen on public texts of which two hundred were coded. Chances hold for points like those coded: a
    kind of text that nobody coded gets the code it resembles most.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> codes, truth = np.repeat([0, 1, 2], 20), np.repeat([0, 1, 2], 100)
    >>> centres = 3 * np.eye(3)
    >>> found = learn_codes(centres[codes] + random.normal(size=(60, 3)), codes,
    ...     centres[truth] + random.normal(size=(300, 3)))
    >>> bool((found.asked.argmax(1) == truth).mean() > 0.9)
    True
    """
    from sklearn.model_selection import KFold, StratifiedKFold
    from threadpoolctl import threadpool_limits

    count = int(codes.max()) + 1
    rare = np.bincount(codes).min() < FOLDS
    folds = (KFold if rare else StratifiedKFold)(min(FOLDS, len(codes)), shuffle=True, random_state=seed)
    crossed = np.zeros((len(codes), count))
    with threadpool_limits(1):  # threads cost more than they bring here, and may change the last digit
        for train, held in folds.split(known, codes):
            crossed[held] = _score(known[train], codes[train], free, known[held], count)
        asked = _score(known, codes, free, free, count)
    sharp, slips = _calibrate(crossed, codes)
    return Coding(_state(asked, sharp, slips), _state(crossed, sharp, slips))


def _state(scores: Array, sharp: float, slips: float) -> Array:
    """Return the chances that scores stand for: people slip too, to any code, in a share of the codes they give."""
    return (1 - slips) * softmax(sharp * scores, axis=1) + slips / scores.shape[1]


def _calibrate(scores: Array, codes: Codes) -> tuple[float, float]:
    """Choose the temperature and the share of slips by how well the stated chance of the likeliest code holds."""
    right = scores.argmax(1) == codes

    def surprise(power: float, slips: float) -> float:
        stated = np.clip(_state(scores, np.exp(power), slips).max(1), 1e-6, 1 - 1e-6)
        return -float(np.log(np.where(right, stated, 1 - stated)).mean())

    found = [minimize_scalar(surprise, bounds=(-4.0, 3.0), method="bounded", args=(one,)) for one in SLIPS]
    best = min(range(len(SLIPS)), key=lambda place: found[place].fun)
    return float(np.exp(found[best].x)), SLIPS[best]


def _score(known: Array, codes: Codes, free: Array, asked: Array, count: int) -> Array:
    """Mix the log odds of the two models; the Gaussians', which run to extremes in many axes, count a fifth."""
    slopes, offsets = _fit_gaussians(known[:, :GAUSSIAN_AXES], codes, free[:, :GAUSSIAN_AXES], count)
    odds = asked[:, :GAUSSIAN_AXES] @ slopes + offsets
    return MIXED * (odds - odds.mean(1, keepdims=True)) + (1 - MIXED) * _fit_logistic(known, codes, asked, count)


def _fit_gaussians(known: Array, codes: Codes, free: Array, count: int) -> tuple[Array, Array]:
    rows, axes = np.vstack([known, free]), known.shape[1]
    shares = np.vstack([np.eye(count)[codes], np.zeros((len(free), count))])
    weights = np.concatenate([np.ones(len(known)), np.full(len(free), UNCODED)])[:, None]
    former = np.full((len(free), count), np.inf)
    for _ in range(ROUNDS):
        parts = shares * weights
        sizes = parts.sum(0)
        means = (parts.T @ rows) / np.maximum(sizes, 1e-9)[:, None]
        spread = (rows * parts.sum(1, keepdims=True)).T @ rows - (means * sizes[:, None]).T @ means
        spread /= sizes.sum()
        spread = (1 - SHRINKAGE) * spread + SHRINKAGE * max(np.trace(spread) / axes, 1e-9) * np.eye(axes)
        slopes = np.linalg.solve(spread, means.T)
        offsets = np.log((sizes + 1) / (sizes + 1).sum()) - 0.5 * np.einsum("ka,ak->k", means, slopes)
        shares[len(known) :] = softmax(free @ slopes + offsets, axis=1)
        if np.abs(shares[len(known) :] - former).max(initial=0) < SETTLED:
            break
        former = shares[len(known) :].copy()
    return slopes, offsets


def _fit_logistic(known: Array, codes: Codes, asked: Array, count: int) -> Array:
    """Return the log odds; a code that is not among those known gets the least of the others."""
    from sklearn.linear_model import LogisticRegression

    there = np.unique(codes)
    if len(there) < 2:
        return np.where(np.arange(count) == there[0], 1.0, 0.0) + np.zeros((len(asked), 1))
    found = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=300).fit(known, codes)
    odds = asked @ found.coef_.T + found.intercept_
    odds = np.hstack([-odds, odds]) / 2 if len(there) == 2 else odds
    scores = np.repeat(odds.min(1, keepdims=True), count, axis=1)
    scores[:, there] = odds
    return scores
