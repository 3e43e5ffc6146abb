"""Interactions of the baseline model: planted ones are found and shrunk, others are left out."""

import numpy as np
import pytest
from scipy.special import expit

from rca_lib.stats.slice_search.baseline_model import fit_baseline_model
from rca_lib.stats.slice_search.contingency import ContingencyTable, build_layout
from rca_lib.stats.slice_search.interactions import fit_interactions

SIZES = (5, 6, 4)
GROUPS = [(0, 1), (0, 2), (1, 2)]
CELLS = np.array(np.unravel_index(np.arange(np.prod(SIZES)), SIZES))


def draw(seed, shift, items=400):
    """Draw errors whose log odds are higher by `shift` where the first two dimensions have the value 0."""
    logits = np.full(CELLS.shape[1], -2.0)
    planted = shift * ((CELLS[0] == 0) & (CELLS[1] == 0))
    counts = np.full(len(logits), float(items))
    errors = np.random.default_rng(seed).binomial(items, expit(logits + planted)).astype(float)
    table = ContingencyTable(CELLS, counts, errors, counts)
    return fit_interactions(table, build_layout(CELLS, SIZES), logits, GROUPS)


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_interaction_is_found_with_its_size(seed):
    shifts, variances = draw(seed, 1.2)[0, 1]
    assert shifts[0] == pytest.approx(1.2, abs=0.25)
    assert np.abs(shifts[1:]).max() < 0.3
    assert variances.shape == shifts.shape
    assert (variances > 0).all()


def test_without_interactions_most_groups_are_left_out():
    # A group enters beyond one standard deviation: with a probability of about .16. Main effects are fitted before.
    entered = 0
    for seed in range(40):
        items = np.full(CELLS.shape[1], 400.0)
        errors = np.random.default_rng(seed).binomial(400, expit(-2.0), len(items)).astype(float)
        model = fit_baseline_model(ContingencyTable(CELLS, items, errors, items), SIZES, pairs=GROUPS)
        entered += len(model.interactions)
    assert entered <= 33  # of 120; 19 expected, more than 33 has a probability below .001


def test_shifts_are_smaller_the_fewer_audits_there_are():
    few = np.mean([draw(seed, 1.2, items=20).get((0, 1), (np.zeros(1),))[0][0] for seed in range(10)])
    many = np.mean([draw(seed, 1.2, items=400)[0, 1][0][0] for seed in range(10)])
    assert 0 < few < many
