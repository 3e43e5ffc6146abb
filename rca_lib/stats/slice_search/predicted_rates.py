# Tested in tests/questions/test_drivers.py.
"""Rates of two periods after a search: predicted with and without the selected slices, and observed.

Symbols: the baseline model has the log odds η_c in cell c, and selected slice k adds the shift s_k on its cells (mask
m_kc). The predicted error rate of a cell is

    r_c = expit(η_c + Σ_k s_k m_kc).

Leaving one k out gives the rate that the slice would have had without its own shift. Observed rates are weighted means
Σ w y / Σ w. Their interval is Wilson's on the effective number of audits: Kish's (Σ w)² / Σ w², or
r (1 − r) / Var(r) with items as clusters if that is less.

References: Wilson 1927, JASA 22; Kish 1965, Survey Sampling.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from rca_lib.findings import Rate
from rca_lib.stats.clustered_data.two_way_variance import estimate_cluster_variance
from rca_lib.stats.proportions import wilson_interval
from rca_lib.stats.slice_search.contingency import Array, CellItemCounts, ContingencyTable
from rca_lib.stats.slice_search.selection import SliceSearch

MIN_VARIANCE = 1e-300  # avoids a division by 0


@dataclass(frozen=True, slots=True, eq=False)
class PeriodPredictions:
    """Two periods and the result of a search in them.

    Attributes
    ----------
    cells
        Both periods as contingency tables.
    raw_counts
        Items and errors of each cell without weights, per period.
    values
        The values of each dimension, by its name.
    item_counts
        The same audits by cell and item, where items were judged more than once.
    rater_dimension
        The dimension of the raters; None where they are unknown.
    search
        The result of the search.
    """

    cells: tuple[ContingencyTable, ContingencyTable]
    raw_counts: tuple[Array, Array]
    values: dict[str, list[str]]
    item_counts: tuple[CellItemCounts, CellItemCounts] | None
    rater_dimension: int | None
    search: SliceSearch

    @property
    def audits_per_effective_audit(self) -> float:
        """Return the factor from effective audits to audits: detectable errors are reported among all audits."""
        return float(self.raw_counts[1][0].sum() / self.cells[1].items.sum())

    def predict_rates(self, without: int | None = None) -> list[Array]:
        """Return the predicted error rate of each cell.

        Parameters
        ----------
        without
            Index of the selected slice that is left out. None: all selected slices are used.

        Returns
        -------
        list of ndarray
            One array per period.
        """
        logits = [self.search.baseline.logits(table.codes) for table in self.cells]
        for index, (slice_, shift) in enumerate(zip(self.search.selected, self.search.shifts, strict=True)):
            if index != without:
                logits = [
                    period_logits + shift * slice_.members(table.codes)
                    for period_logits, table in zip(logits, self.cells, strict=True)
                ]
        return [expit(period_logits) for period_logits in logits]

    def selected_rater_effects(self) -> Array:
        """Return what the selected raters add to the error rate of each current cell.

        They are reported by themselves, and are no evidence that raters differ in general.

        Returns
        -------
        ndarray
            One difference of rates per current cell; 0 where no rater is selected.
        """
        rates = self.predict_rates()[1]
        effects = np.zeros(len(self.cells[1].items))
        for index, slice_ in enumerate(self.search.selected):
            if self.rater_dimension in slice_.dimensions:
                effects += rates - self.predict_rates(index)[1]
        return effects

    def average_predicted_rates(self, audit_dimensions: Collection[int]) -> list[Array]:
        """Return each cell's mean of the rates without and with the selected slices, some dimensions averaged out.

        Parameters
        ----------
        audit_dimensions
            Dimensions of the audit, not of the work: more audits by a strict auditor, or under another policy version,
            are no change of the work mix. Their effects are replaced by the mean effect, and slices selected in them
            are left out.

        Returns
        -------
        list of ndarray
            One array per period.
        """
        baseline = self.search.baseline
        items = np.concatenate([table.items for table in self.cells])
        audit_effects = [
            [baseline.effects[dimension][table.codes[dimension]] for table in self.cells]
            for dimension in audit_dimensions
        ]
        mean_effects = [np.average(np.concatenate(effects), weights=items) for effects in audit_effects]
        averages = []
        for period, table in enumerate(self.cells):
            old_logits = baseline.logits(table.codes)
            for mean, effects in zip(mean_effects, audit_effects, strict=True):
                old_logits = old_logits + mean - effects[period]
            new_logits = old_logits
            for slice_, shift in zip(self.search.selected, self.search.shifts, strict=True):
                if not set(slice_.dimensions) & set(audit_dimensions):
                    new_logits = new_logits + shift * slice_.members(table.codes)
            averages.append((expit(old_logits) + expit(new_logits)) / 2)
        return averages

    def where(self, dimensions: Sequence[int], values: Sequence[int]) -> dict[str, str]:
        """Name a slice.

        Parameters
        ----------
        dimensions, values
            Codes of the dimensions and of their values.

        Returns
        -------
        dict
            Names of the values by name of the dimension.
        """
        named = list(self.values.items())
        return {
            named[dimension][0]: named[dimension][1][value] for dimension, value in zip(dimensions, values, strict=True)
        }

    def rate(self, period: int, members: np.ndarray) -> Rate:
        """Return the weighted rate of some cells.

        Parameters
        ----------
        period
            0 for the baseline, 1 for the current period.
        members
            Mask of the cells; at least one has audits.

        Returns
        -------
        Rate
            With Wilson's interval on the effective number of audits.
        """
        table = self.cells[period]
        items, errors = self.raw_counts[period][:, members].sum(1)
        weight = float(table.items[members].sum())
        value = float(table.errors[members].sum()) / weight
        effective = weight**2 / float(table.squared_weights[members].sum())
        if self.item_counts and 0 < value < 1:
            counts = self.item_counts[period]
            inside = members[counts.cell]
            influence = (counts.errors[inside] - value * counts.items[inside]) / weight
            variance = estimate_cluster_variance(influence, None, counts.item[inside]).variance
            effective = min(effective, value * (1 - value) / max(variance, MIN_VARIANCE))
        low, high = wilson_interval(value * effective, effective)
        return Rate(int(errors), int(items), value, low, high, method="Wilson, effective number")
