"""Two periods that were searched for slices: the chances of an error with and without what was found, and rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from rca_lib.findings import Rate
from rca_lib.stats.cells import Array, Cells, Judged
from rca_lib.stats.rates import wilson
from rca_lib.stats.slices import Search
from rca_lib.stats.two_way_clusters import cluster_variance


@dataclass(frozen=True, slots=True, eq=False)
class SearchedPeriods:
    """Both periods as cells and as plain items and errors, the values of each dimension, and what the search found."""

    cells: tuple[Cells, Cells]
    plain: tuple[Array, Array]
    values: dict[str, list[str]]
    judged: tuple[Judged, Judged] | None
    cluster: int | None
    search: Search

    @property
    def scale(self) -> float:
        """Return audits per effective audit: what could be shown is told in errors among the audits as they are."""
        return float(self.plain[1][0].sum() / self.cells[1].items.sum())

    def chances(self, without: int | None = None) -> list[Array]:
        """Return each cell's chance of an error with all named slices, or all but one."""
        logits = [self.search.baseline.logits(cells.codes) for cells in self.cells]
        for place, (pick, shift) in enumerate(zip(self.search.picks, self.search.shifts, strict=True)):
            if place != without:
                logits = [at + shift * pick.members(one.codes) for at, one in zip(logits, self.cells, strict=True)]
        return [expit(one) for one in logits]

    def lifted_raters(self) -> Array:
        """Return what the named raters (or the like) add to each current cell's chance of an error.

        They are shown by themselves, and are no proof that raters differ in general.
        """
        chance, lifted = self.chances()[1], np.zeros(len(self.cells[1].items))
        for place, pick in enumerate(self.search.picks):
            if self.cluster in pick.dimensions:
                lifted += chance - self.chances(place)[1]
        return lifted

    def average_work(self, apart: Sequence[int]) -> list[Array]:
        """Return each cell's mean of the rates without and with what is named, some dimensions averaged out.

        Those are the dimensions of the audit, not of the work: that more audits are a strict auditor's, or made under
        another version of the policy, is no mix of the work. Their effects are replaced by the mean one, and what is
        named in them is left out.
        """
        baseline, items = self.search.baseline, np.concatenate([cells.items for cells in self.cells])
        found = [[baseline.effects[place][cells.codes[place]] for cells in self.cells] for place in apart]
        usual = [np.average(np.concatenate(effects), weights=items) for effects in found]
        means = []
        for period, cells in enumerate(self.cells):
            old = baseline.logits(cells.codes)
            for mean, effects in zip(usual, found, strict=True):
                old = old + mean - effects[period]
            new = old
            for pick, shift in zip(self.search.picks, self.search.shifts, strict=True):
                if not set(pick.dimensions) & set(apart):
                    new = new + shift * pick.members(cells.codes)
            means.append((expit(old) + expit(new)) / 2)
        return means

    def where(self, dimensions: Sequence[int], values: Sequence[int]) -> dict[str, str]:
        """Name the values."""
        known = list(self.values.items())
        return {known[one][0]: known[one][1][value] for one, value in zip(dimensions, values, strict=True)}

    def rate(self, period: int, inside: np.ndarray) -> Rate:
        """Return a weighted rate with Wilson's interval on the effective number of its audits, and of their items."""
        cells, (rows, wrong) = self.cells[period], self.plain[period][:, inside].sum(1)
        weight, errors, squares = (float(one[inside].sum()) for one in (cells.items, cells.errors, cells.squares))
        value, effective = errors / weight, weight**2 / squares
        if self.judged and 0 < value < 1:
            judged = self.judged[period]
            kept = inside[judged.cell]
            beyond = (judged.errors[kept] - value * judged.items[kept]) / weight
            variance = cluster_variance(beyond, None, judged.item[kept]).variance
            effective = min(effective, value * (1 - value) / max(variance, 1e-300))
        ends = wilson(value * effective, effective)
        return Rate(int(wrong), int(rows), value, *ends, method="Wilson, effective number")
