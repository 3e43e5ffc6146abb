"""Codes learned from labelled points: accuracy, calibration, determinism and small cases."""

import numpy as np
import pytest

from rca_lib.stats.text.classifier import fit_code_classifier


def draw(seed, *, n_labelled=120, n_unlabelled=600, distance=2.5, n_codes=4, n_components=12):
    """Draw points around one centre per code: labelled points with codes, unlabelled points with their truth."""
    random = np.random.default_rng(seed)
    centres = distance * np.eye(n_codes, n_components)
    codes = np.arange(n_labelled) % n_codes
    truth = random.integers(0, n_codes, n_unlabelled)
    labelled = centres[codes] + random.standard_t(6, (n_labelled, n_components))
    unlabelled = centres[truth] + random.standard_t(6, (n_unlabelled, n_components))
    return labelled, codes, unlabelled, truth


def test_codes_are_learned_and_stated_probabilities_match_the_share_of_right_codes():
    gaps = []
    for seed in range(6):
        labelled, codes, unlabelled, truth = draw(seed)
        probabilities = fit_code_classifier(labelled, codes, unlabelled).unlabelled
        is_right = probabilities.argmax(1) == truth
        gaps.append(probabilities.max(1).mean() - is_right.mean())
        assert is_right.mean() > 0.65
        assert probabilities.sum(1) == pytest.approx(1)
    # 120 labelled points calibrate with a standard error of about .05: the mean of six draws has .02.
    assert abs(np.mean(gaps)) < 0.07


def test_codes_without_content_are_not_stated_with_confidence():
    labelled, codes, unlabelled, _ = draw(4, distance=0.0)
    probabilities = fit_code_classifier(labelled, codes, unlabelled).unlabelled
    assert np.quantile(probabilities.max(1), 0.9) < 0.5


def test_the_same_points_give_the_same_probabilities():
    labelled, codes, unlabelled, _ = draw(5)
    first = fit_code_classifier(labelled, codes, unlabelled, seed=3)
    second = fit_code_classifier(labelled, codes, unlabelled, seed=3)
    assert np.array_equal(first.unlabelled, second.unlabelled)
    assert np.array_equal(first.cross_validated, second.cross_validated)


def test_codes_with_one_or_two_points_have_a_result():
    labelled, _, unlabelled, _ = draw(6, n_labelled=12)
    codes = np.array([0] * 9 + [1] * 2 + [2])
    fitted = fit_code_classifier(labelled, codes, unlabelled)
    assert fitted.cross_validated.shape == (12, 3)
    assert np.isfinite(fitted.unlabelled).all()
    assert fit_code_classifier(labelled, codes, unlabelled[:0]).unlabelled.shape == (0, 3)
