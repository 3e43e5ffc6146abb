"""Causes learned from the errors that people coded: the counterpart of the taxonomy's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rca_lib.findings import Rate
from rca_lib.stats.rates import wilson_rate

READS = ("label", "truth", "policy", "queue", "language", "tenure")  # beside the comment
LEAST_CODED, LEAST_OF_CODE, MOST_CODED, MOST_READ = 50, 3, 1_000, 2_000


@dataclass(frozen=True, slots=True)
class LearnedCauses:
    """What was learned from `coded` errors with a comment, of `codes` causes.

    Cross-fitted (each by what the others tell): `chosen` and `given` are the model's and the people's codes, `kept` the
    share of errors with a chance of `confidence` or more, `right` how many of those the model codes as people did.
    `gap` is the mean gap between stated chances and the share right, in ten bins (expected calibration error).
    """

    coded: int
    codes: int
    confidence: float
    kept: Rate
    right: Rate
    gap: float
    chosen: tuple[str, ...]
    given: tuple[str, ...]

    def __str__(self) -> str:
        """Read as a sentence."""
        return (
            f"a model learned from {self.coded:,} coded errors speaks where it is {self.confidence:.0%} sure, for"
            f" {self.kept} of such errors, and then agrees with people in {self.right}"
        )


def ask_model(
    rows: pd.DataFrame, codes: Sequence[str], asked: Sequence[bool], *, confidence: float, seed: int = 0
) -> tuple[list[tuple[str, float]], LearnedCauses | None]:
    """Return for each row the code that a model gives it with its chance, ("", 0.0) where it abstains; and the model.

    Parameters
    ----------
    rows
        One row per error, the latest last: `comment`, and `label`, `truth`, `policy`, `queue`, `language`, `tenure`
        where they are there. `codes` are people's ("" where there is none), `asked` those to give a code to.
    confidence
        The chance below which the model abstains.

    Notes
    -----
    It reads errors with a comment only, the last 1,000 coded and 2,000 asked, and needs 50 coded ones of two causes or
    more; a cause with fewer than three of them is not learned, and never given. Chances are calibrated on errors such
    as people chose to code (`stats.coding`); where they code other errors than those asked about, they may not hold.
    """
    spoken = rows["comment"].str.strip() != ""
    given = pd.Series(list(codes), rows.index, "str").where(spoken, "")
    counts = given[given != ""].value_counts()
    known = given.index[given.isin(counts.index[counts >= LEAST_OF_CODE])][-MOST_CODED:]
    free = rows.index[np.asarray(asked, bool) & spoken.to_numpy()][-MOST_READ:]
    silent: list[tuple[str, float]] = [("", 0.0)] * len(rows)
    if len(known) < LEAST_CODED or given[known].nunique() < 2:
        return silent, None
    from rca_lib.stats.coding import learn_codes
    from rca_lib.stats.texts import place_texts

    read = rows.loc[[*known, *free]]
    columns = [read[name].tolist() for name in READS if name in read]
    points = place_texts(read["comment"].tolist(), columns, seed=seed)
    code, names = pd.factorize(given[known], sort=True)
    found = learn_codes(points[: len(known)], code, points[len(known) :], seed=seed)
    answers = dict(enumerate(silent))
    place = {index: at for at, index in enumerate(rows.index)}
    for index, chances in zip(free, found.asked, strict=True):
        if chances.max() >= confidence:
            answers[place[index]] = (str(names[chances.argmax()]), round(float(chances.max()), 9))
    return list(answers.values()), _describe(found.crossed, code, names, confidence)


def _describe(crossed: np.ndarray, code: np.ndarray, names: pd.Index, confidence: float) -> LearnedCauses:
    sure, chosen = crossed.max(1), crossed.argmax(1)
    right, kept = chosen == code, sure >= confidence
    bins = np.minimum((10 * sure).astype(int), 9)
    gaps = [abs(float((sure - right)[bins == one].sum())) for one in range(10)]
    return LearnedCauses(
        len(code), len(names), confidence, wilson_rate(float(kept.sum()), len(code)),
        wilson_rate(float(right[kept].sum()), int(kept.sum())), sum(gaps) / len(code),
        tuple(map(str, names[chosen])), tuple(map(str, names[code])),
    )  # fmt: skip
