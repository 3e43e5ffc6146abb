"""Semi-supervised classification: codes learned from few labelled points and many unlabelled ones.

Two models are combined.

1. Gaussian classes with a common covariance Σ (linear discriminant analysis), fitted by EM on labelled and unlabelled
   points (Nigam et al. 2000). An unlabelled point has the weight λ = 0.1. Σ is shrunk to a multiple of the identity.
   The log odds of class k are x·Σ⁻¹μ_k − μ_k·Σ⁻¹μ_k / 2 + log π_k.
2. Logistic regression on the labelled points, with balanced class weights.

The mixed log odds are s = 0.2 s₁ + 0.8 s₂. The probabilities are calibrated: with a temperature (Guo et al. 2017) and
a rate ε of wrong labels, P(k) = (1 − ε) softmax(β s)_k + ε / K. β and ε maximise the likelihood of whether the most
probable code is correct, in ten-fold cross-validation.

References: Nigam, McCallum, Thrun and Mitchell 2000, Machine Learning 39; Guo, Pleiss, Sun and Weinberger 2017, ICML.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
N_GAUSSIAN_COMPONENTS = 80  # leading components that the Gaussian model uses
UNLABELLED_WEIGHT = 0.1  # weight of an unlabelled point: with 1, thousands of guesses outweigh two hundred codes
COVARIANCE_SHRINKAGE = 0.1
MAX_ITERATIONS = 15
TOLERANCE = 0.01  # largest change of a probability at convergence
LOGISTIC_C = 30.0  # inverse regularisation strength
MAX_LOGISTIC_ITERATIONS = 300
GAUSSIAN_WEIGHT = 0.2  # of the mixed log odds: the Gaussian's are extreme in many dimensions
N_FOLDS = 10
LABEL_NOISE_GRID = (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3)  # rate of wrong labels among those given by people
LOG_TEMPERATURE_BOUNDS = (-4.0, 3.0)
MIN_PROBABILITY = 1e-6  # keeps the logarithm finite


@dataclass(frozen=True, slots=True, eq=False)
class CodeProbabilities:
    """Probability of each code (columns).

    Attributes
    ----------
    unlabelled
        One row per unlabelled point.
    cross_validated
        One row per labelled point, predicted by models fitted without it.
    """

    unlabelled: Array
    cross_validated: Array


def fit_code_classifier(labelled: Array, codes: Codes, unlabelled: Array, *, seed: int = 0) -> CodeProbabilities:
    """Learn codes from labelled points and return the probability of each code for the unlabelled ones.

    Parameters
    ----------
    labelled
        Points with a code, points × components.
    codes
        Code of each labelled point, from 0; at least two codes.
    unlabelled
        Points without a code, points × components.
    seed
        Seed of the cross-validation folds.

    Returns
    -------
    CodeProbabilities
        Calibrated probabilities of unlabelled and of labelled points.

    Notes
    -----
    The settings were chosen on public texts of which two hundred were labelled. Probabilities are calibrated for points
    like the labelled ones. A kind of text that nobody labelled gets the code that it resembles most.

    References
    ----------
    Nigam et al. 2000 (EM with unlabelled points); Guo et al. 2017 (temperature scaling).

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> codes, truth = np.repeat([0, 1, 2], 20), np.repeat([0, 1, 2], 100)
    >>> centres = 3 * np.eye(3)
    >>> labelled = centres[codes] + random.normal(size=(60, 3))
    >>> unlabelled = centres[truth] + random.normal(size=(300, 3))
    >>> probabilities = fit_code_classifier(labelled, codes, unlabelled).unlabelled
    >>> bool((probabilities.argmax(1) == truth).mean() > 0.9)
    True
    """
    from sklearn.model_selection import KFold, StratifiedKFold
    from threadpoolctl import threadpool_limits

    n_codes = int(codes.max()) + 1
    splitter = KFold if np.bincount(codes).min() < N_FOLDS else StratifiedKFold
    folds = splitter(min(N_FOLDS, len(codes)), shuffle=True, random_state=seed)
    validation_scores = np.zeros((len(codes), n_codes))
    with threadpool_limits(1):  # threads cost more than they save here, and may change the last digit
        for train, test in folds.split(labelled, codes):
            validation_scores[test] = _mixed_log_odds(
                labelled[train], codes[train], unlabelled, labelled[test], n_codes
            )
        scores = _mixed_log_odds(labelled, codes, unlabelled, unlabelled, n_codes)
    scale, label_noise = _calibrate(validation_scores, codes)
    return CodeProbabilities(
        unlabelled=_calibrated_probabilities(scores, scale, label_noise),
        cross_validated=_calibrated_probabilities(validation_scores, scale, label_noise),
    )


def _calibrated_probabilities(scores: Array, scale: float, label_noise: float) -> Array:
    """Return probabilities of the codes; a wrong label is any code with the same probability."""
    return (1 - label_noise) * softmax(scale * scores, axis=1) + label_noise / scores.shape[1]


def _calibrate(scores: Array, codes: Codes) -> tuple[float, float]:
    """Choose the scale (inverse temperature) and the label noise by the likelihood of correct predictions."""
    correct = scores.argmax(1) == codes

    def log_loss(log_scale: float, label_noise: float) -> float:
        probabilities = _calibrated_probabilities(scores, np.exp(log_scale), label_noise).max(1)
        probabilities = np.clip(probabilities, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
        return -float(np.log(np.where(correct, probabilities, 1 - probabilities)).mean())

    fits = [
        minimize_scalar(log_loss, bounds=LOG_TEMPERATURE_BOUNDS, method="bounded", args=(label_noise,))
        for label_noise in LABEL_NOISE_GRID
    ]
    best = min(range(len(LABEL_NOISE_GRID)), key=lambda index: fits[index].fun)
    return float(np.exp(fits[best].x)), LABEL_NOISE_GRID[best]


def _mixed_log_odds(labelled: Array, codes: Codes, unlabelled: Array, points: Array, n_codes: int) -> Array:
    """Return the mixed log odds of both models for `points`."""
    leading = slice(None, N_GAUSSIAN_COMPONENTS)
    slopes, intercepts = _fit_gaussians(labelled[:, leading], codes, unlabelled[:, leading], n_codes)
    gaussian = points[:, leading] @ slopes + intercepts
    gaussian = gaussian - gaussian.mean(1, keepdims=True)
    logistic = _logistic_log_odds(labelled, codes, points, n_codes)
    return GAUSSIAN_WEIGHT * gaussian + (1 - GAUSSIAN_WEIGHT) * logistic


def _fit_gaussians(labelled: Array, codes: Codes, unlabelled: Array, n_codes: int) -> tuple[Array, Array]:
    """Fit Gaussian classes of a common covariance by EM; return slopes and intercepts of the log odds."""
    points = np.vstack([labelled, unlabelled])
    n_labelled, n_components = labelled.shape
    probabilities = np.vstack([np.eye(n_codes)[codes], np.zeros((len(unlabelled), n_codes))])
    weights = np.concatenate([np.ones(n_labelled), np.full(len(unlabelled), UNLABELLED_WEIGHT)])[:, None]
    previous = np.full((len(unlabelled), n_codes), np.inf)
    for _ in range(MAX_ITERATIONS):
        weighted = probabilities * weights
        sizes = weighted.sum(0)
        means = (weighted.T @ points) / np.maximum(sizes, 1e-9)[:, None]
        scatter = (points * weighted.sum(1, keepdims=True)).T @ points
        covariance = scatter - (means * sizes[:, None]).T @ means
        covariance /= sizes.sum()
        mean_variance = max(np.trace(covariance) / n_components, 1e-9)
        covariance = (1 - COVARIANCE_SHRINKAGE) * covariance + COVARIANCE_SHRINKAGE * mean_variance * np.eye(
            n_components
        )
        slopes = np.linalg.solve(covariance, means.T)
        log_priors = np.log((sizes + 1) / (sizes + 1).sum())
        intercepts = log_priors - 0.5 * np.einsum("ka,ak->k", means, slopes)
        probabilities[n_labelled:] = softmax(unlabelled @ slopes + intercepts, axis=1)
        if np.abs(probabilities[n_labelled:] - previous).max(initial=0) < TOLERANCE:
            break
        previous = probabilities[n_labelled:].copy()
    return slopes, intercepts


def _logistic_log_odds(labelled: Array, codes: Codes, points: Array, n_codes: int) -> Array:
    """Return the log odds of a logistic regression; a code without labelled points gets the lowest of the others."""
    from sklearn.linear_model import LogisticRegression

    present = np.unique(codes)
    if len(present) < 2:
        return np.where(np.arange(n_codes) == present[0], 1.0, 0.0) + np.zeros((len(points), 1))
    model = LogisticRegression(C=LOGISTIC_C, class_weight="balanced", max_iter=MAX_LOGISTIC_ITERATIONS)
    model.fit(labelled, codes)
    log_odds = points @ model.coef_.T + model.intercept_
    if len(present) == 2:
        log_odds = np.hstack([-log_odds, log_odds]) / 2
    scores = np.repeat(log_odds.min(1, keepdims=True), n_codes, axis=1)
    scores[:, present] = log_odds
    return scores
