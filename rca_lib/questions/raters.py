"""Which raters make more errors than expected on the same work, and what should each be coached on?

For rater r let O_r be the errors made and E_r the errors that any rater would make on the same work
(`models.expected_errors`). The observed errors are Poisson around θ_r E_r, and the true ratios θ_r have a gamma
distribution with mean 1. The posterior mean of θ_r shrinks O_r / E_r towards 1 by as much as raters differ at all
(`stats.gamma_poisson`). The adjusted rate is θ_r times the error rate of the site.

A rater is flagged if the posterior probability that θ_r exceeds 1.2 passes a Bayesian false discovery rate of 5%:
of the raters flagged, one in twenty is expected to be flagged wrongly.

The coaching card of a flagged rater compares the errors per pair of label and truth with the expected number

    E_r · (errors of the other raters on this pair / all errors of the other raters).

References
----------
Clayton, D. and Kaldor, J. (1987). Empirical Bayes estimates of age-standardized relative risks for use in disease
mapping. Biometrics 43, 671–681. The gamma-Poisson model.
Newton, M. A. et al. (2004). Detecting differential gene expression with a semiparametric hierarchical mixture method.
Biostatistics 5, 155–176. The Bayesian false discovery rate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from rca_lib.audits.counting import count_errors, fetch_errors, keep_proportional
from rca_lib.audits.ratings import require_columns
from rca_lib.findings import EMPTY_SLICE, Estimate, Finding, format_count
from rca_lib.models.expected_errors import compute_expected_errors, exclude_audits
from rca_lib.result import Result
from rca_lib.stats.gamma_poisson import select_by_fdr, shrink_ratios

RaterKind = Literal["rater"]

MIN_AUDITS = 50  # audits per rater below which no rate is given
MAX_PAIRS = 3  # pairs of label and truth on a coaching card
MAX_EXAMPLES = 3  # audits quoted for each pair


@dataclass(frozen=True, slots=True)
class RaterPerformance:
    """The errors of one rater, compared with those expected on the same work.

    Attributes
    ----------
    rater
        Name of the rater.
    items, errors
        Decisions audited, and errors among them.
    expected_errors
        Errors that any rater would make on the same work.
    error_ratio
        Shrunken ratio of errors to expected errors; None below the minimum number of audits.
    adjusted_rate
        Error rate of the rater on the usual work of the site: ratio times site rate; None below the minimum.
    flagged
        Whether more errors than expected are proven.
    """

    rater: str
    items: int
    errors: int
    expected_errors: float
    error_ratio: Estimate | None
    adjusted_rate: Estimate | None
    flagged: bool


@dataclass(frozen=True, slots=True)
class Confusion:
    """A pair of label and truth on a coaching card, with its errors, the errors expected, and example audits."""

    label: str
    truth: str
    errors: int
    expected_errors: float
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CoachingCard:
    """What to coach a flagged rater on: the pairs with the largest excess of errors."""

    rater: str
    excess: Estimate
    confusions: tuple[Confusion, ...]

    def __str__(self) -> str:
        """Return the card as a sentence."""
        pairs = ", ".join(
            f"{pair.label} for {pair.truth} ({pair.errors}, {pair.expected_errors:.1f} expected)"
            for pair in self.confusions
        )
        return f"{self.rater}: {self.excess} more than expected on the same work. Review {pairs}."


@dataclass(frozen=True, slots=True)
class Raters(Result):
    """All raters by name, and a coaching card for each flagged rater.

    Attributes
    ----------
    raters
        One entry per rater, in the order of names.
    cards
        Coaching cards of the flagged raters.
    below_minimum
        Number of raters with too few audits for a rate.
    audits_without_rater
        Number of audits that name no rater.
    excluded
        Number of audits and items that were excluded.
    between_rater_sd
        Standard deviation of the true ratios between raters; None if no rater has enough audits.
    min_audits
        Audits below which no rate is given.
    """

    raters: tuple[RaterPerformance, ...]
    cards: tuple[CoachingCard, ...]
    below_minimum: int
    audits_without_rater: int
    excluded: int
    between_rater_sd: Estimate | None
    min_audits: int

    def to_frame(self) -> pd.DataFrame:
        """Return one row per rater, by name.

        Columns: `rater`, `items`, `errors`, `expected_errors`, `error_ratio` with `ratio_low` and `ratio_high`,
        `flagged`. Ratios are missing below the minimum number of audits.
        """
        rows = []
        for rater in self.raters:
            ratio = rater.error_ratio
            limits = (ratio.value, ratio.low, ratio.high) if ratio else (np.nan, np.nan, np.nan)
            rows.append((rater.rater, rater.items, rater.errors, rater.expected_errors, *limits, rater.flagged))
        names = ["rater", "items", "errors", "expected_errors", "error_ratio", "ratio_low", "ratio_high", "flagged"]
        return pd.DataFrame(rows, columns=names)

    def card_frame(self) -> pd.DataFrame:
        """Return one row per pair on a coaching card: `rater`, `label`, `truth`, `errors`, `expected_errors`, `audits`.

        `audits` holds the names of example audits.
        """
        rows = [
            (card.rater, pair.label, pair.truth, pair.errors, pair.expected_errors, ", ".join(pair.examples))
            for card in self.cards
            for pair in card.confusions
        ]
        return pd.DataFrame(rows, columns=["rater", "label", "truth", "errors", "expected_errors", "audits"])

    def display_frame(self) -> pd.DataFrame:
        """Return the coaching cards: most differences between the other raters are chance."""
        return self.card_frame()

    def summary(self) -> str:
        """Return how much raters differ, and how many are flagged."""
        compared = len(self.raters) - self.below_minimum
        sentences = [
            f"{compared:,} of {format_count(len(self.raters), 'rater has', 'raters have')} {self.min_audits} audits or"
            " more."
        ]
        if self.between_rater_sd and compared > 1:
            sd = self.between_rater_sd.value
            sentences.append(
                "On the same work, the standard deviation between raters is"
                f" {100 * sd:.0f} % of the average error rate."
            )
            has = format_count(len(self.cards), "rater has", "raters have")
            sentences.append(
                f"{has} provably more errors than expected."
                if self.cards
                else "No rater is proven to make more errors than expected."
            )
        if self.audits_without_rater:
            sentences.append(f"{format_count(self.audits_without_rater, 'audit names', 'audits name')} no rater.")
        if self.excluded:
            sentences.append(f"{self.excluded:,} audits and items are excluded: they count against no rater.")
        return " ".join(sentences)

    def findings(self) -> tuple[Finding[RaterKind], ...]:
        """Return one finding per flagged rater, graded "shown": at most one in twenty is expected to be wrong."""
        return tuple(
            Finding("raters", "rater", str(card), "shown", card.excess, f"cards[{index}].excess", {"rater": card.rater})
            for index, card in enumerate(self.cards)
        )


def rank_raters(
    audits: Any, *, excluded: Mapping[str, Collection[str]] = EMPTY_SLICE, min_audits: int = MIN_AUDITS
) -> Raters:
    """Compare each rater's errors with the errors that any rater would make on the same work.

    Parameters
    ----------
    audits
        One row per audited decision, with `audit_id` and `rater`. Only the proportional streams are counted, without
        weights: a rater answers for the decisions that were audited, and strata are part of the work.
    excluded
        Values to leave out, by column (`audit_id`, `item_id`): audits with a wrong, outdated or ambiguous truth, which
        count against no rater. Default: none.
    min_audits
        Audits per rater below which no rate is given. Default 50.

    Returns
    -------
    Raters
        In the order of names, not of rates: where intervals overlap, an order of rates would be random.

    Raises
    ------
    DataError
        If `audit_id` or `rater` is missing or empty, or there are no audits.

    Notes
    -----
    Ratios are shrunk towards 1 by as much as raters differ (gamma-Poisson, `stats.gamma_poisson`). One in twenty
    flagged raters is wrong on average (Bayesian false discovery rate); simulations confirm it. The method cannot see
    that work is harder in a way that no column records, nor whether the truth was right; `excluded` serves that. If
    audits of a rater follow suspicion, that rater looks worse than they are.

    References
    ----------
    Clayton and Kaldor (1987); Newton et al. (2004). The docstring of the module has both.

    Examples
    --------
    >>> rows = [(f"{rater}{number}", rater, "ok", "bad" if number < errors else "ok") for rater, errors in
    ...     [("a", 5), ("b", 6), ("c", 40), ("d", 5)] for number in range(100)]
    >>> audits = pd.DataFrame(rows, columns=["audit_id", "rater", "label", "truth"])
    >>> [card.rater for card in rank_raters(audits).cards]
    ['c']
    """
    require_columns(audits, ["audit_id"])
    included = exclude_audits(audits, excluded)
    counts = compute_expected_errors(included, "rater")
    is_compared = (counts["items"] >= min_audits).to_numpy()
    compared, others = counts[is_compared], counts[~is_compared]
    performances = {row.rater: _build_uncompared_performance(row) for row in others.itertuples()}
    between_rater_sd = None
    if len(compared):
        site_rate = float(counts["errors"].sum() / counts["items"].sum())
        ratios = shrink_ratios(compared["errors"].to_numpy(float), compared["expected"].to_numpy(float))
        between_rater_sd = ratios.standard_deviation
        limits = zip(ratios.value, ratios.low, ratios.high, strict=True)
        flags = select_by_fdr(ratios.probability_above)
        for row, ratio, flagged in zip(compared.itertuples(), limits, flags, strict=True):
            performances[row.rater] = _build_performance(row, ratio, site_rate, flagged)
    raters = tuple(performances[rater] for rater in counts["rater"])
    audits_counted = count_errors(keep_proportional(included))["items"].sum()
    return Raters(
        raters=raters,
        cards=_build_coaching_cards(included, [rater for rater in raters if rater.flagged]),
        below_minimum=len(others),
        audits_without_rater=int(audits_counted - counts["items"].sum()),
        excluded=sum(map(len, excluded.values())),
        between_rater_sd=between_rater_sd,
        min_audits=min_audits,
    )


def _get_counts(row: Any) -> tuple[str, int, int, float]:
    """Return name, items, errors and expected errors of a row of counts."""
    return str(row.rater), int(row.items), int(row.errors), round(float(row.expected), 9)


def _build_uncompared_performance(row: Any) -> RaterPerformance:
    """Return the counts of a rater with too few audits for a rate."""
    return RaterPerformance(*_get_counts(row), None, None, False)


def _build_performance(row: Any, ratio: tuple[float, ...], site_rate: float, flagged: bool) -> RaterPerformance:
    """Return the performance of a rater, from the ratio (value, low, high) and the error rate of the site."""
    value, low, high = (round(float(limit), 12) for limit in ratio)
    rate, rate_low, rate_high = (min(limit * site_rate, 1.0) for limit in (value, low, high))
    adjusted_rate = Estimate(rate, rate_low, rate_high, "%")
    return RaterPerformance(*_get_counts(row), Estimate(value, low, high), adjusted_rate, bool(flagged))


def _build_coaching_cards(audits: Any, raters: list[RaterPerformance]) -> tuple[CoachingCard, ...]:
    """Compare each rater's errors per pair of label and truth with the other raters' shares of that pair."""
    if not raters:
        return ()
    errors = fetch_errors(keep_proportional(audits), ("audit_id", "rater", "label", "truth"))
    errors = errors.sort_values("audit_id", kind="stable")
    ratios = [(rater, rater.error_ratio) for rater in raters]
    return tuple(_build_coaching_card(errors, rater, ratio) for rater, ratio in ratios if ratio is not None)


def _build_coaching_card(errors: pd.DataFrame, rater: RaterPerformance, ratio: Estimate) -> CoachingCard:
    """Return the card of one rater: the pairs with the largest excess first."""
    is_own = errors["rater"].astype(str) == rater.rater
    own, others = errors[is_own], errors[~is_own]
    other_shares = others.groupby(["label", "truth"]).size() / max(len(others), 1)
    confusions = []
    for (label, truth), rows in own.groupby(["label", "truth"], sort=True):
        expected_errors = round(float(rater.expected_errors * other_shares.get((label, truth), 0.0)), 9)
        examples = tuple(rows["audit_id"].astype(str)[:MAX_EXAMPLES])
        confusions.append(Confusion(str(label), str(truth), len(rows), expected_errors, examples))
    confusions.sort(key=lambda confusion: confusion.expected_errors - confusion.errors)
    value, low, high = ((limit - 1) * rater.expected_errors for limit in (ratio.value, ratio.low, ratio.high))
    return CoachingCard(rater.rater, Estimate(value, low, high, "errors"), tuple(confusions[:MAX_PAIRS]))
