"""Margins of cells and the covariance of effects, against matrices written out in full."""

import numpy as np
import pytest

from rca_lib.stats.slice_search.contingency import build_layout
from rca_lib.stats.slice_search.covariance import PrecisionMatrix, compute_information_matrix, sum_by_effect

SIZES = (3, 2, 4, 5)
CORNER_SIZE = 1 + sum(SIZES[:-1])


def draw_cells(ordered):
    """Draw the codes and weights of cells."""
    rng = np.random.default_rng(3)
    codes = np.array([rng.integers(0, size, 300) for size in SIZES])
    if ordered:
        codes = np.unique(codes, axis=1)
    return codes, rng.gamma(2.0, 1.0, codes.shape[1])


def build_design_matrix(codes):
    """Return one row per cell: 1 for the intercept, then one column per value of every dimension."""
    indicators = [np.eye(size)[code] for code, size in zip(codes, SIZES, strict=True)]
    return np.hstack([np.ones((codes.shape[1], 1)), *indicators])


def build_precision():
    """Return an invertible precision matrix: information of ordered cells plus a prior."""
    codes, weights = draw_cells(ordered=True)
    information = compute_information_matrix(build_layout(codes, SIZES).marginalize(weights), SIZES)
    return PrecisionMatrix(information.corner + np.eye(CORNER_SIZE), information.edge, information.diagonal + 2.0)


def write_out(precision):
    """Return a precision matrix in full."""
    return np.block([[precision.corner, precision.edge], [precision.edge.T, np.diag(precision.diagonal)]])


@pytest.mark.parametrize("ordered", [False, True])
def test_a_margin_is_the_sum_over_cells_in_any_order_of_requests(ordered):
    codes, weights = draw_cells(ordered)
    layout = build_layout(codes, SIZES)
    assert bool(len(layout.run_starts)) == ordered  # runs exist only where cells are in order
    marginal_sums = layout.marginalize(weights)
    for dimensions in ((2, 0, 3), (0, 1), (1, 0), (3,), (2,), ()):
        expected = np.zeros([SIZES[dimension] for dimension in dimensions])
        for cell, weight in zip(codes.T, weights, strict=True):
            expected[tuple(cell[list(dimensions)])] += weight
        assert marginal_sums(dimensions) == pytest.approx(expected)


def test_the_information_is_that_of_the_design_matrix():
    codes, weights = draw_cells(ordered=True)
    design_matrix = build_design_matrix(codes)
    expected = (design_matrix * weights[:, None]).T @ design_matrix
    information = compute_information_matrix(build_layout(codes, SIZES).marginalize(weights), SIZES)
    assert information.corner == pytest.approx(expected[:CORNER_SIZE, :CORNER_SIZE])
    assert information.edge == pytest.approx(expected[:CORNER_SIZE, CORNER_SIZE:])
    assert np.diag(information.diagonal) == pytest.approx(expected[CORNER_SIZE:, CORNER_SIZE:])


def test_the_covariance_root_gives_the_covariances_of_the_inverse():
    precision = build_precision()
    rows = np.random.default_rng(1).normal(size=(6, 1 + sum(SIZES)))
    root = precision.covariance_root(rows)
    assert root @ root.T == pytest.approx(rows @ np.linalg.inv(write_out(precision)) @ rows.T)


def test_solve_and_multiply_are_those_of_the_full_matrix():
    precision = build_precision()
    vector = np.random.default_rng(2).normal(size=1 + sum(SIZES))
    assert precision.multiply(vector) == pytest.approx(write_out(precision) @ vector)
    assert precision.solve(vector) == pytest.approx(np.linalg.solve(write_out(precision), vector))


def test_added_variance_belongs_to_the_last_dimension_only():
    precision = build_precision()
    added = np.diag([0.0] * CORNER_SIZE + [0.3] * SIZES[-1])
    covariance = np.linalg.inv(write_out(precision))
    assert np.linalg.inv(write_out(precision.add_variance(0.3))) == pytest.approx(covariance + added)


def test_sums_by_slice_and_effect_are_those_of_the_cells_in_the_slice():
    codes, weights = draw_cells(ordered=False)
    rows = sum_by_effect(build_layout(codes, SIZES).marginalize(weights), SIZES, (0, 2))
    inside = (codes[0] == 1) & (codes[2] == 3)
    assert rows[1 * SIZES[2] + 3] == pytest.approx(build_design_matrix(codes)[inside].T @ weights[inside])
