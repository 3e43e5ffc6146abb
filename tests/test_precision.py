"""Sums of cells and what they tell of effects, against matrices written out in full."""

import numpy as np
import pytest

from rca_lib.stats.cells import lay_out
from rca_lib.stats.precision import inform, sum_effects

SIZES = (3, 2, 4, 5)


def _draw(ordered):
    draw = np.random.default_rng(3)
    codes = np.array([draw.integers(0, size, 300) for size in SIZES])
    if ordered:
        codes = np.unique(codes, axis=1)
    return codes, draw.gamma(2.0, 1.0, codes.shape[1])


def _dense(codes):
    """One row per cell: 1 for all, then one column per value of every dimension."""
    return np.hstack(
        [np.ones((codes.shape[1], 1)), *(np.eye(size)[code] for code, size in zip(codes, SIZES, strict=True))]
    )


@pytest.mark.parametrize("ordered", [False, True])
def test_a_table_is_the_sum_over_cells_in_whatever_order_it_is_asked_for(ordered):
    codes, weights = _draw(ordered)
    layout = lay_out(codes, SIZES)
    assert bool(len(layout.runs)) == ordered  # the last dimension runs through its values only where cells are in order
    over = layout.sum_tables(weights)
    for dimensions in ((2, 0, 3), (0, 1), (1, 0), (3,), (2,), ()):
        expected = np.zeros([SIZES[one] for one in dimensions])
        for cell, weight in zip(codes.T, weights, strict=True):
            expected[tuple(cell[list(dimensions)])] += weight
        assert over(dimensions) == pytest.approx(expected)


def test_information_is_that_of_the_design_matrix():
    codes, weights = _draw(ordered=True)
    dense = _dense(codes)
    full = (dense * weights[:, None]).T @ dense
    told = inform(lay_out(codes, SIZES).sum_tables(weights), SIZES)
    narrow = 1 + sum(SIZES[:-1])
    assert told.corner == pytest.approx(full[:narrow, :narrow])
    assert told.edge == pytest.approx(full[:narrow, narrow:])
    assert np.diag(told.wide) == pytest.approx(full[narrow:, narrow:])


def _whole(known):
    return np.block([[known.corner, known.edge], [known.edge.T, np.diag(known.wide)]])


def _firm():
    codes, weights = _draw(ordered=True)
    told = inform(lay_out(codes, SIZES).sum_tables(weights), SIZES)
    return type(told)(told.corner + np.eye(len(told.corner)), told.edge, told.wide + 2.0)


def test_halves_give_the_covariances_of_the_inverse():
    known = _firm()
    rows = np.random.default_rng(1).normal(size=(6, 1 + sum(SIZES)))
    half = known.halve(rows)
    assert half @ half.T == pytest.approx(rows @ np.linalg.inv(_whole(known)) @ rows.T)


def test_loosening_adds_variance_to_the_last_dimension_only():
    known = _firm()
    added = np.diag([0.0] * (1 + sum(SIZES[:-1])) + [0.3] * SIZES[-1])
    assert np.linalg.inv(_whole(known.loosen(0.3))) == pytest.approx(np.linalg.inv(_whole(known)) + added)


def test_sums_by_slice_and_effect_are_those_of_the_cells_inside():
    codes, weights = _draw(ordered=False)
    rows = sum_effects(lay_out(codes, SIZES).sum_tables(weights), SIZES, (0, 2))
    inside = (codes[0] == 1) & (codes[2] == 3)
    assert rows[1 * SIZES[2] + 3] == pytest.approx(_dense(codes)[inside].T @ weights[inside])
