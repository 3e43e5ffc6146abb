# Tested in tests/questions/test_error_tagging.py.
"""Causes predicted from the errors that people coded: the counterpart of the taxonomy's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rca_lib.findings import Rate
from rca_lib.stats.proportions import wilson_rate

FEATURE_COLUMNS = ("label", "truth", "policy", "queue", "language", "tenure")  # beside the comment
MIN_TRAINING = 50  # coded errors with a comment; with fewer no model is fitted
MIN_PER_CLASS = 3  # coded errors of a cause; rarer causes are not learned
MAX_TRAINING = 1_000  # latest coded errors used; bounds the time of the fit
MAX_PREDICTED = 2_000  # latest errors that get a prediction; bounds the time of the embedding


@dataclass(frozen=True, slots=True)
class CauseClassifierEvaluation:
    """Cross-fitted quality of a cause classifier: each coded error is predicted by a model fitted without it.

    Attributes
    ----------
    n_training
        Coded errors with a comment.
    confidence
        The probability below which the model abstains.
    coverage
        Share of the errors on which the model does not abstain.
    accuracy
        Share of those on which it agrees with people.
    predicted, actual
        The codes of the model and of people, one per coded error.
    """

    n_training: int
    confidence: float
    coverage: Rate
    accuracy: Rate
    predicted: tuple[str, ...]
    actual: tuple[str, ...]

    def __str__(self) -> str:
        """Return the evaluation as a clause."""
        return (
            f"a model trained on {self.n_training:,} coded errors is at least {100 * self.confidence:.0f} % sure for"
            f" {self.coverage} of such errors, and then agrees with people in {self.accuracy}"
        )


def predict_causes(
    rows: pd.DataFrame, codes: Sequence[str], predict_mask: Sequence[bool], *, confidence: float, seed: int = 0
) -> tuple[list[tuple[str, float]], CauseClassifierEvaluation | None]:
    """Predict the cause code of errors from their comment and their columns.

    Parameters
    ----------
    rows
        One row per error, the latest last: `comment`, and `label`, `truth`, `policy`, `queue`, `language` and `tenure`
        where they exist.
    codes
        The codes that people gave, one per row; "" where there is none.
    predict_mask
        Whether to predict a code for the row.
    confidence
        The probability below which the model abstains.
    seed
        Seed of the embedding and of the cross-fitting.

    Returns
    -------
    list of (str, float)
        Code and probability per row; ("", 0.0) where the model abstains or was not asked.
    CauseClassifierEvaluation, optional
        The cross-fitted evaluation; None where there are too few coded errors to fit a model.

    Notes
    -----
    Only errors with a comment are used: the last 1,000 coded ones and the last 2,000 to predict. It needs 50 coded
    errors of two causes or more. A cause with fewer than three of them is never predicted. Probabilities are calibrated
    on the errors that people chose to code (`stats.text.classifier`). They may not hold for errors of another kind.
    """
    has_comment = rows["comment"].str.strip() != ""
    actual = pd.Series(list(codes), rows.index, "str").where(has_comment, "")
    counts = actual[actual != ""].value_counts()
    training = actual.index[actual.isin(counts.index[counts >= MIN_PER_CLASS])][-MAX_TRAINING:]
    predicted = rows.index[np.asarray(predict_mask, bool) & has_comment.to_numpy()][-MAX_PREDICTED:]
    abstained: list[tuple[str, float]] = [("", 0.0)] * len(rows)
    if len(training) < MIN_TRAINING or actual[training].nunique() < 2:
        return abstained, None
    from rca_lib.stats.text.classifier import fit_code_classifier
    from rca_lib.stats.text.embedding import embed_texts

    used = rows.loc[[*training, *predicted]]
    features = [used[name].tolist() for name in FEATURE_COLUMNS if name in used]
    points = embed_texts(used["comment"].tolist(), features, seed=seed)
    code, names = pd.factorize(actual[training], sort=True)
    classifier = fit_code_classifier(points[: len(training)], code, points[len(training) :], seed=seed)
    predictions = dict(enumerate(abstained))
    position = {index: number for number, index in enumerate(rows.index)}
    for index, probabilities in zip(predicted, classifier.unlabelled, strict=True):
        if probabilities.max() >= confidence:
            best = str(names[probabilities.argmax()])
            predictions[position[index]] = (best, round(float(probabilities.max()), 9))
    return list(predictions.values()), _evaluate(classifier.cross_validated, code, names, confidence)


def _evaluate(
    probabilities: np.ndarray, code: np.ndarray, names: pd.Index, confidence: float
) -> CauseClassifierEvaluation:
    """Compare cross-fitted probabilities (rows: errors, columns: causes) with the codes of people."""
    predicted = probabilities.argmax(1)
    is_correct = predicted == code
    is_covered = probabilities.max(1) >= confidence
    return CauseClassifierEvaluation(
        n_training=len(code),
        confidence=confidence,
        coverage=wilson_rate(float(is_covered.sum()), len(code)),
        accuracy=wilson_rate(float(is_correct[is_covered].sum()), int(is_covered.sum())),
        predicted=tuple(map(str, names[predicted])),
        actual=tuple(map(str, names[code])),
    )
