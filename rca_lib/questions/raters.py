"""Whom to coach, and on what? Each rater against the errors anybody would make on the same work; no league table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rca_lib.audits.counting import count_errors, fetch_errors, keep_proportional
from rca_lib.audits.people import count_people, leave_out
from rca_lib.audits.ratings import require_columns
from rca_lib.findings import NOWHERE, Estimate, Finding, Rate, count_noun
from rca_lib.stats.rates import wilson_rate
from rca_lib.stats.ratios import shrink_ratios, stand_out

LEAST, PAIRS, EXAMPLES = 50, 3, 3


@dataclass(frozen=True, slots=True)
class RaterRate:
    """One rater: errors made and `expected` of anybody on the same work, the `ratio` of the two as far as it is known.

    `rate` is what the ratio makes of the site's rate, on the site's usual work; `observed` the plain rate. Both are
    None below the least number of audits. `stands_out`: with more errors than expected, shown.
    """

    rater: str
    items: int
    errors: int
    expected: float
    observed: Rate | None
    ratio: Estimate | None
    rate: Estimate | None
    stands_out: bool


@dataclass(frozen=True, slots=True)
class Confusion:
    """A pair of label and truth on a coaching card: so many errors, where `expected` would be usual; examples."""

    label: str
    truth: str
    errors: int
    expected: float
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CoachingCard:
    """What to look at with a rater who stands out: the pairs most beyond what is usual."""

    rater: str
    excess: Estimate
    confusions: tuple[Confusion, ...]

    def __str__(self) -> str:
        """Read as a sentence."""
        pairs = (f"{one.label} for {one.truth} ({one.errors}, {one.expected:.1f} expected)" for one in self.confusions)
        return f"{self.rater}: {self.excess} more than expected on this work; look at {', '.join(pairs)}."


@dataclass(frozen=True, slots=True)
class Raters:
    """Every rater, by name; `few` have too few audits for a rate, `unnamed` audits name no rater.

    `excused` audits and items were left out. `spread` is the standard deviation of true ratios between raters (None: no
    rater has enough audits).
    """

    raters: tuple[RaterRate, ...]
    cards: tuple[CoachingCard, ...]
    few: int
    unnamed: int
    excused: int
    spread: Estimate | None
    minimum: int

    def to_frame(self) -> pd.DataFrame:
        """Return a row per rater, by name: errors made and expected, their true ratio with its interval."""
        rows = [
            (one.rater, one.items, one.errors, one.expected,
             *((one.ratio.value, one.ratio.low, one.ratio.high) if one.ratio else (np.nan,) * 3), one.stands_out)
            for one in self.raters
        ]  # fmt: skip
        names = ["rater", "items", "errors", "expected_errors", "ratio", "ratio_low", "ratio_high", "stands_out"]
        return pd.DataFrame(rows, columns=names)

    def card_frame(self) -> pd.DataFrame:
        """Return a row per pair on a coaching card: rater, label, truth, errors made and expected, audits."""
        rows = [
            (card.rater, pair.label, pair.truth, pair.errors, pair.expected, ", ".join(pair.examples))
            for card in self.cards
            for pair in card.confusions
        ]
        return pd.DataFrame(rows, columns=["rater", "label", "truth", "errors", "expected_errors", "audits"])

    def summary(self) -> str:
        """Say how far raters differ, and whether anybody stands out."""
        told = len(self.raters) - self.few
        text = f"{told:,} of {count_noun(len(self.raters), 'rater has', 'raters have')} {self.minimum} audits or more."
        if self.spread and told > 1:
            text += f" On the same work their error rates differ by {self.spread.value:.0%} or so; "
            text += (
                f"{len(self.cards):,} stand out with more errors than expected." if self.cards else "none stands out."
            )
        if self.unnamed:
            text += f" {count_noun(self.unnamed, 'audit names', 'audits name')} no rater."
        return text + f" {self.excused:,} audits and items are left out: they count against nobody." * (
            self.excused > 0
        )

    def findings(self) -> tuple[Finding, ...]:
        """Return who stands out: "shown", for one in twenty of those named is not so at most."""
        return tuple(
            Finding("raters", "rater", str(card), "shown", card.excess, f"cards[{place}].excess", {"rater": card.rater})
            for place, card in enumerate(self.cards)
        )


def rank_raters(audits: Any, *, excused: Mapping[str, Collection[str]] = NOWHERE, least: int = LEAST) -> Raters:
    """Compare each rater's errors with what anybody would make on the same work.

    Parameters
    ----------
    audits
        One row per audited decision, with `rater`; of the proportional streams. Not weighted: a rater answers for the
        decisions that were audited, and strata are part of the work.
    excused
        By column (`audit_id`, `item_id`) the values whose audits count against no rater: a wrong, stale or ambiguous
        truth. They are left out altogether.
    least
        Audits below which no rate is given.

    Returns
    -------
    Raters
        In order of names, not of rates: where intervals overlap an order would be chance.

    Raises
    ------
    DataError
        If `audit_id` or `rater` is missing or empty, or there are no audits.

    Notes
    -----
    Ratios are shrunk towards 1 by as much as raters differ at all (gamma-Poisson, `stats.ratios`). Who stands out is
    named so that one in twenty of those named is wrong (Bayesian false discovery rate); checked by simulation. It
    cannot see work that is harder in a way no column tells, nor whether the truth was right (that is what `excused` is
    for), and an audit per rater that follows suspicion makes suspects worse than they are.

    Examples
    --------
    >>> rows = [(f"{rater}{number}", rater, "ok", "bad" if number < many else "ok") for rater, many in
    ...     [("a", 5), ("b", 6), ("c", 40), ("d", 5)] for number in range(100)]
    >>> audits = pd.DataFrame(rows, columns=["audit_id", "rater", "label", "truth"])
    >>> [card.rater for card in rank_raters(audits).cards]
    ['c']
    """
    require_columns(audits, ["audit_id"])
    kept = leave_out(audits, excused)
    table = count_people(kept, "rater")
    enough = (table["items"] >= least).to_numpy()
    told, mean = table[enough], float(table["errors"].sum() / table["items"].sum())
    found = shrink_ratios(told["errors"].to_numpy(float), told["expected"].to_numpy(float)) if len(told) else None
    named = stand_out(found.above) if found else []
    known = {
        row.rater: _rate(row, [float(one[place]) for one in (found.value, found.low, found.high)], mean, out)
        for place, (row, out) in enumerate(zip(told.itertuples(), named, strict=True))
    }
    few = {row.rater: RaterRate(*_counts(row), None, None, None, False) for row in table[~enough].itertuples()}
    cards = _write_cards(kept, [one for one in known.values() if one.stands_out])
    spread = found.spread if found else None
    raters = tuple((known | few)[rater] for rater in table["rater"])
    unnamed = int(count_errors(keep_proportional(kept))["items"].sum() - table["items"].sum())
    return Raters(raters, cards, len(few), unnamed, sum(map(len, excused.values())), spread, least)


def _counts(row: Any) -> tuple[str, int, int, float]:
    return str(row.rater), int(row.items), int(row.errors), round(float(row.expected), 9)


def _rate(row: Any, ratio: list[float], mean: float, out: bool) -> RaterRate:
    ratio = [round(one, 12) for one in ratio]
    rate = Estimate(*(min(one * mean, 1.0) for one in ratio), unit="%")
    return RaterRate(*_counts(row), wilson_rate(row.errors, row.items), Estimate(*ratio), rate, bool(out))


def _write_cards(audits: Any, raters: list[RaterRate]) -> tuple[CoachingCard, ...]:
    """Hold each rater's errors, pair by pair, against what the others' shares of pairs make of the expected errors."""
    if not raters:
        return ()
    rows = fetch_errors(keep_proportional(audits), ("audit_id", "rater", "label", "truth"))
    rows = rows.sort_values("audit_id", kind="stable")
    cards = []
    for one in raters:
        own = rows["rater"].astype(str) == one.rater
        others = rows[~own].groupby(["label", "truth"]).size() / max((~own).sum(), 1)
        pairs = [
            Confusion(*map(str, pair), len(part), round(float(one.expected * others.get(pair, 0.0)), 9),
                      tuple(part["audit_id"].astype(str)[:EXAMPLES]))
            for pair, part in rows[own].groupby(["label", "truth"], sort=True)
        ]  # fmt: skip
        pairs.sort(key=lambda pair: pair.expected - pair.errors)
        excess = Estimate(*((end - 1) * one.expected for end in (one.ratio.value, one.ratio.low, one.ratio.high)),
                          unit="errors")  # fmt: skip
        cards.append(CoachingCard(one.rater, excess, tuple(pairs[:PAIRS])))
    return tuple(cards)
