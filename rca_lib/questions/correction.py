"""How good is the work really, once the audit's own errors are taken off?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rca_lib.audits.counting import collect, column_names, open_table
from rca_lib.audits.tables import PROPORTIONAL_STREAMS
from rca_lib.audits.values import check_names, read_flags, read_wholes, refuse
from rca_lib.findings import DataError, Estimate, Finding, Rate, count_noun, mark_units
from rca_lib.stats.rates import clustered_rate, correct_rate, two_phase_mean, wilson_rate

LEAST = 30  # audited twice: below, nothing is said


@dataclass(frozen=True, slots=True)
class Correction:
    """The error rate as audited, the audit's own error, and the rate that is left.

    `twice` decisions were audited twice; `differing` is the share of these whose two truths differ. `audit_error` is
    how often one audit is wrong. `corrected` is None below 30 decisions audited twice. `second` says what the second
    audit was taken for: "same" (as good as the first) or "final" (right).
    """

    second: str
    twice: int
    observed: Rate
    differing: Rate | None
    audit_error: Estimate | None
    corrected: Estimate | None

    @property
    def accuracy(self) -> Estimate | None:
        """The accuracy that the corrected rate leaves."""
        one = self.corrected
        return one and Estimate(1 - one.value, 1 - one.high, 1 - one.low, "%", one.level)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per number: `measure`, `value`, `low`, `high`."""
        names = ("observed", "differing", "audit_error", "corrected")
        rows = [(name, getattr(self, name)) for name in names]
        table = [(name, one.value, one.low, one.high) for name, one in rows if one is not None]
        frame = pd.DataFrame(table, columns=["measure", "value", "low", "high"])
        return mark_units(frame, value="%", low="%", high="%")

    def summary(self) -> str:
        """Say what the error rate is as audited, and what is left of it."""
        twice = count_noun(self.twice, "decision was", "decisions were")
        text = f"As audited {self.observed} are errors. {twice} audited twice"
        if self.corrected is None:
            few = f"too few ({LEAST} are needed) to tell the audit's own error"
            return (
                f"{text}: {few if self.twice < LEAST else 'none of one kind, errors or not, so that nothing is told'}."
            )
        part = f"; the truths differ in {self.differing}, so that one audit errs in {self.audit_error}"
        return f"{text}{part}: corrected for that, {self.corrected} are errors."

    def findings(self) -> tuple[Finding, ...]:
        """Return the corrected rate and the audit's own error."""
        if self.corrected is None:
            return ()
        pairs = (("corrected", self.corrected), ("audit error", self.audit_error))
        return tuple(
            Finding("correction", kind, self.summary(), "likely", one, kind.replace(" ", "_")) for kind, one in pairs
        )


def correct_accuracy(audits: Any, *, second: str = "same") -> Correction:
    """Estimate the error rate corrected for the errors of the audit, from decisions that were audited twice.

    Parameters
    ----------
    audits
        One row per audit, of all rounds: `item_id`, `rater`, `label`, `truth`, `audit_round` (1, 2), optionally
        `weight`, `stream` and `blind`. A second audit that saw the first (`blind` is false) is not used as "same"; one
        that does not say counts as blind.
    second
        What a second audit is: "same", blind and as good as the first (then the two differ twice as often as each
        errs), or "final", an arbiter's, which is taken to be right (a two-phase sample).

    Raises
    ------
    DataError
        If a column is missing, there are no audits, `item_id`, `rater`, `label` or `truth` is missing or has white
        space at its ends, an error is neither 0 nor 1, a weight is not above 0, `audit_round` is no whole number from 1
        on, or `blind` is neither yes nor no.
    ValueError
        If `second` is neither.

    Notes
    -----
    "same": an audit errs at a rate that does not depend on whether the rater erred, and two audits err independently
    (Rogan and Gladen 1978, with sensitivity and specificity both 1 minus that rate); where both auditors share a
    mistake the rate corrected is too high. "final": double sampling for stratification (Cochran 1977, 12.2), the
    strata being what the first audit found; None where that leaves a stratum empty. Both take the decisions audited
    twice for a random part of all within what the first audit found. Intervals cover at their level in simulation.

    Examples
    --------
    >>> rows = [(f"i{number}", "r", "ok", "bad" if number % 20 == 0 else "ok", 1) for number in range(400)]
    >>> rows += [(item, "r", "ok", "bad" if item == "i3" else truth, 2) for item, _, _, truth, _ in rows[:100]]
    >>> audits = pd.DataFrame(rows, columns=["item_id", "rater", "label", "truth", "audit_round"])
    >>> str(correct_accuracy(audits).corrected)
    '4.5 % (1.7 to 7.2)'
    """
    if second not in ("same", "final"):
        raise ValueError(f"second is 'same' or 'final', not {second!r}")
    first, both = _pair_rounds(audits, second)
    weight = first["weight"].to_numpy(float)
    raters = pd.factorize(first["rater"])[0]
    observed = clustered_rate(first["error"].to_numpy(bool), np.ones(len(first)), weight, weight**2, raters).rate
    if len(both) < LEAST:
        return Correction(second, len(both), observed, None, None, None)
    differing = wilson_rate(float(both["differs"].sum()), len(both))
    # Two audits that err at a rate e differ in 2 e (1 − e); one that is right shows the other's e itself.
    ends = [min(one, 0.5) for one in (differing.value, differing.low, differing.high)]
    erring = [(1 - np.sqrt(1 - 2 * one)) / 2 for one in ends] if second == "same" else ends
    audit_error = Estimate(*(round(float(one), 12) for one in erring), unit="%")
    corrected = correct_rate(observed, differing.value, len(both)) if second == "same" else _look_again(observed, both)
    return Correction(second, len(both), observed, differing, audit_error, corrected)


def _look_again(observed: Rate, both: pd.DataFrame) -> Estimate | None:
    """Take the second finding for right: the strata are what the first audit found, as effective numbers of audits."""
    strata = [both.loc[both["error"] == found, "truly"].to_numpy(float) for found in (1, 0)]
    if min(map(len, strata)) < 2:
        return None
    error = (observed.high - observed.low) / (2 * 1.96)
    effective = observed.value * (1 - observed.value) / error**2
    rare = [1 / (len(one) + 2) for one in strata]
    sizes = [
        max(len(one), share * effective)
        for one, share in zip(strata, (observed.value, 1 - observed.value), strict=True)
    ]
    value, *variances = two_phase_mean(sizes, strata, least=[one * (1 - one) for one in rare])
    half = 1.96 * float(np.sqrt(sum(variances)))
    return Estimate(*(round(float(np.clip(one, 0, 1)), 12) for one in (value, value - half, value + half)), "%")


def _pair_rounds(audits: Any, second: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the first audits, and those with a second: do their truths differ, does the second find an error."""
    names = column_names(audits)
    needed = ["item_id", "rater", "label", "truth", "audit_round"]
    more = [name for name in ("stream", "blind") if name in names]
    frame = collect(open_table(audits, needs=needed).select(*needed, *more, "weight", "error"))
    if "stream" in more and frame["stream"].isin(PROPORTIONAL_STREAMS).any():
        frame = frame[frame["stream"].isin(PROPORTIONAL_STREAMS)]
    refuse(frame[frame["error"].isna()], "label or truth is missing", "truth", "leave such rows out")
    refuse(frame[~frame["error"].isin([0, 1])], "error is neither 0 nor 1", "error", "code errors as 0 and 1")
    weight = frame["weight"].to_numpy(float, na_value=np.nan)
    refuse(
        frame[~((weight > 0) & np.isfinite(weight))],
        "weight is no number above 0",
        "weight",
        "give every audit its weight",
    )
    check_names(frame, "item_id", "rater", "label", "truth")
    rounds = read_wholes(frame, "audit_round")
    first, later = frame[rounds == 1], frame[rounds == 2]
    if first.empty:
        raise DataError("there are no first audits", column="audit_round", mend="number the first audits 1")
    if second == "same" and "blind" in more:
        later = later[read_flags(later, "blind").fillna(True).astype(bool)]
    keys = ["item_id", "rater", "label"]
    pairs = first.drop_duplicates(keys).merge(later.drop_duplicates(keys), on=keys, suffixes=("", "_again"))
    return first, pairs.assign(differs=pairs["truth"] != pairs["truth_again"], truly=pairs["error_again"])
