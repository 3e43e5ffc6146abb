# Tested in tests/stats/slice_search/test_selection.py.
"""Families of slices: all slices of the same dimensions, and which of them are tested.

A family holds the slices of one set of dimensions: everywhere (no dimension), the values of one dimension, or the pairs
of values of two. Dimensions with 40 values or more (raters) are a kind of their own and are not paired. Each kind has
its share of alpha (`alpha_allocation`).

Symbols: a slice has n audits, e errors, m expected errors and the design effect d. It is

    regular  if m / d ≥ 3 (2 for raters),
    rare     if m / d is less and n ≥ 5.

Regular slices are tested for an increase and a decrease. A rare slice is tested for an increase if it has two errors at
least and the Poisson probability P(X ≥ e / d), with mean m / d, is below 0.001. All rare slices count in the number of
tests, whether they are tested or not.

Reference: Tarone 1990, Biometrics 46.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

from rca_lib.stats.slice_search.baseline_model import HIGH_CARDINALITY
from rca_lib.stats.slice_search.contingency import Array, Codes

# Kinds of families; each has its share of alpha.
EVERYWHERE, ONE_DIMENSION, ONE_LARGE_DIMENSION, TWO_DIMENSIONS = range(4)
MIN_EXPECTED_ERRORS = np.array([3.0, 3.0, 2.0, 3.0])  # errors, by kind; slices that expect fewer are rare
MIN_ITEMS = 5.0  # audits of a rare slice; fewer cannot be significant
MIN_RARE_ERRORS = 2  # errors of a rare slice that is tested
MAX_RARE_P_VALUE = 1e-3  # unadjusted p-value of a rare slice that is tested
MIN_DISTINCT_ITEMS = 10  # items of a slice with repeated items; fewer do not generalise
DUPLICATE_SHARE = 0.95  # a slice with this share of its parent's audits is the same slice


@dataclass(frozen=True, slots=True, eq=False)
class SliceFamily:
    """The tested slices of some dimensions, and their counts.

    Attributes
    ----------
    dimensions
        The dimensions; empty: all audits.
    kind
        The kind of family, which decides its share of alpha.
    tested
        The codes of the tested slices.
    rare
        Which of them are rare: they expect hardly any error. They are tested for an increase only, and only if they
        hold enough errors to be significant.
    untested_rare
        The number of rare slices that are not tested.
    items, errors, expected_errors
        Counts of each tested slice.
    design_effects
        Factor on the variance of its errors from items that were judged more than once.
    """

    dimensions: tuple[int, ...]
    kind: int
    tested: Codes
    rare: NDArray[np.bool_]
    untested_rare: int
    items: Array
    errors: Array
    expected_errors: Array
    design_effects: Array


def enumerate_families(
    sizes: tuple[int, ...], unpaired: frozenset[int], pairs: bool
) -> Iterator[tuple[tuple[int, ...], int]]:
    """List the families: everywhere, single dimensions, pairs of small dimensions.

    Parameters
    ----------
    sizes
        The number of values of each dimension.
    unpaired
        Dimensions that are not searched in pairs.
    pairs
        Whether pairs are searched at all.

    Yields
    ------
    dimensions, kind
        The dimensions of each family, and its kind.

    Examples
    --------
    >>> [dimensions for dimensions, _ in enumerate_families((3, 4, 60), frozenset(), True)]
    [(), (0,), (1,), (2,), (0, 1)]
    """
    yield (), EVERYWHERE
    for dimension, size in enumerate(sizes):
        yield (dimension,), ONE_DIMENSION if size < HIGH_CARDINALITY else ONE_LARGE_DIMENSION
    if pairs:
        paired = [
            dimension for dimension, size in enumerate(sizes) if size < HIGH_CARDINALITY and dimension not in unpaired
        ]
        for pair in combinations(paired, 2):
            yield pair, TWO_DIMENSIONS


def select_tested_slices(
    dimensions: tuple[int, ...],
    kind: int,
    eligible: NDArray[np.bool_],
    items: Array,
    errors: Array,
    expected_errors: Array,
    design_effects: Array,
) -> SliceFamily:
    """Select the slices to test: eligible ones with enough expected errors, and rare ones with many errors.

    A rare slice is tested if its unadjusted p-value is below `MAX_RARE_P_VALUE`. Others could not be significant at
    their share of alpha, so leaving them out costs no power. They still count in the number of tests. Errors on
    repeated items count as fewer.

    Parameters
    ----------
    dimensions, kind
        The family.
    eligible
        Slices that differ clearly from the slices that contain them, and hold enough distinct items.
    items, errors, expected_errors, design_effects
        One number per slice of the family.

    Returns
    -------
    SliceFamily
        The tested slices and their counts.

    Examples
    --------
    The first slice is regular. The second is rare and has too few errors; the third is rare and has many.

    >>> items, errors, expected = np.full(3, 100.0), np.array([5.0, 1.0, 6.0]), np.array([5.0, 0.5, 0.5])
    >>> family = select_tested_slices((0,), ONE_DIMENSION, np.ones(3, bool), items, errors, expected, np.ones(3))
    >>> family.tested.tolist(), family.rare.tolist(), family.untested_rare
    ([0, 2], [False, True], 1)
    """
    effective_errors = errors / design_effects
    effective_expected = expected_errors / design_effects
    is_regular = eligible & (effective_expected >= MIN_EXPECTED_ERRORS[kind])
    is_rare = eligible & (effective_expected < MIN_EXPECTED_ERRORS[kind]) & (items >= MIN_ITEMS)
    p_values = gammainc(np.maximum(effective_errors, 1), np.maximum(effective_expected, 1e-12))
    is_tested_rare = is_rare & (effective_errors >= MIN_RARE_ERRORS) & (p_values < MAX_RARE_P_VALUE)
    tested = np.flatnonzero(is_regular | is_tested_rare)
    return SliceFamily(
        dimensions=dimensions,
        kind=kind,
        tested=tested,
        rare=is_tested_rare[tested],
        untested_rare=int(is_rare.sum() - is_tested_rare.sum()),
        items=items[tested],
        errors=errors[tested],
        expected_errors=expected_errors[tested],
        design_effects=design_effects[tested],
    )
