"""Variances of random effects."""

import numpy as np
import pytest

from rca_lib.stats.slice_search.contingency import ContingencyTable
from rca_lib.stats.slice_search.random_effects import downweight_cells


@pytest.mark.parametrize("seed", range(3))
def test_cells_are_downweighted_by_their_variance(seed):
    rng = np.random.default_rng(seed)
    items = np.full(1000, 2000.0)
    for cell_sd in (0.0, 0.3):
        rates = 1 / (1 + np.exp(2.5 - rng.normal(0, cell_sd, 1000)))
        errors = rng.binomial(2000, rates).astype(float)
        table = ContingencyTable(np.zeros((1, 1000), int), items, errors, items)
        downweighted = downweight_cells(table, np.full(1000, rates.mean()))
        # The log odds of a cell have the variance 1 / information of its audits, plus the cell's own variance.
        information = 2000 * rates.mean() * (1 - rates.mean())
        assert downweighted.items == pytest.approx(items / (1 + cell_sd**2 * information), rel=0.15)
