# Tested in tests/stats/truth_inference/test_dawid_skene.py.
"""Ratings of items as integer codes, and the sparse matrices that truth inference computes from them.

Symbols: rating j is of item i(j), by rater r(j), with label l(j), of L labels. Its rating code is c(j) = r(j) L + l(j).
The indicator matrix A has A_ic = 1 where item i has a rating of code c. Everything that EM needs is a product with A:

    votes of an item            V = A T,   T_c,l = 1 where code c has label l
    expected counts             N = Aᵀ Q,  Q_ik = P(truth of item i is k)
    log likelihood of items     A log Θ,   Θ_ck = P(code c | truth k)

An indicator of classes sums over the items of a class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
MAX_TUNING_RATINGS = 30_000  # ratings used to tune the hyperparameters: more cost time and change little


@dataclass(frozen=True, slots=True, eq=False)
class CodedRatings:
    """Ratings as integer codes from 0, sorted by item.

    Parameters
    ----------
    items, raters, labels
        One code per rating: the item, the rater and the label given.
    sizes
        Number of items, raters and labels.
    rater_groups
        Group code of each rater (the role). Raters of one group share a prior for their errors.
    item_classes
        Class code of each item (the policy). Items of one class share their label frequencies.
    """

    items: Codes
    raters: Codes
    labels: Codes
    sizes: tuple[int, int, int]
    rater_groups: Codes
    item_classes: Codes

    def subset(self, mask: NDArray[np.bool_]) -> CodedRatings:
        """Select the ratings of some items; these are renumbered from 0.

        Parameters
        ----------
        mask
            Mask of the items.

        Returns
        -------
        CodedRatings
            Raters and labels keep their codes.

        Examples
        --------
        >>> items, raters, labels = np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([1, 0, 1])
        >>> ratings = CodedRatings(items, raters, labels, (2, 2, 2), np.zeros(2, int), np.zeros(2, int))
        >>> ratings.subset(np.array([False, True])).items.tolist()
        [0, 0]
        """
        rows = mask[self.items]
        new_codes = np.cumsum(mask) - 1
        items = new_codes[self.items[rows]]
        sizes = (int(mask.sum()), *self.sizes[1:])
        return CodedRatings(
            items, self.raters[rows], self.labels[rows], sizes, self.rater_groups, self.item_classes[mask]
        )


class RatingMatrix:
    """Ratings with the matrices that every EM iteration needs.

    Attributes
    ----------
    codes
        One code per rating for its rater and label: `rater × number of labels + label`.
    indicator
        Sparse matrix, items × codes: 1 where the item has that rating.
    class_indicator
        Sparse matrix, classes × items: 1 where the item belongs to the class.
    votes
        Number of ratings per item and label.
    tuning_rows
        Slice of the ratings used to tune the hyperparameters.
    """

    def __init__(self, ratings: CodedRatings) -> None:
        items, raters, labels = ratings.sizes
        self.ratings = ratings
        self.codes = ratings.raters * labels + ratings.labels
        row_ends = np.append(0, np.bincount(ratings.items, minlength=items).cumsum())
        self.indicator = sparse.csr_array((np.ones(len(self.codes)), self.codes, row_ends), (items, raters * labels))
        classes = ratings.item_classes.max() + 1
        entries = (np.ones(items), (ratings.item_classes, np.arange(items)))
        self.class_indicator = sparse.csr_array(entries, shape=(classes, items))
        self.votes = self.indicator @ np.tile(np.eye(labels), (raters, 1))
        self.tuning_rows = slice(None, None, max(1, len(self.codes) // MAX_TUNING_RATINGS))
