# Tested in tests/intake/test_column_matching.py.
"""Profiles of a file's columns: whether the values look like dates, numbers, labels or identifiers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

MIN_DATE_SHARE = 0.6  # share of values that are dates, in a column of times
MIN_NUMBER_SHARE = 0.8
MIN_UNIQUE_SHARE = 0.9  # share of distinct values, in a column that identifies rows
MAX_LABELS = 60
MIN_LABELS = 10  # so many different values can be labels in however small a file
MAX_LABEL_SHARE = 0.2  # distinct values per row of a label, in small files
MAX_LABEL_CHARS = 120
DATE = re.compile(
    r"\d{1,4}\D\s?\w{1,9}\D\s?\d{1,4}(\D.*)?"  # 2026-03-01, 1.3.26, 01-Mar-2026, each with or without a time
    r"|[A-Za-z.,]+ .*\d{4}.*"  # with the name of a day or a month first
    r"|\d{8}(\D?\d{4,6}\D{0,3})?|\d{10}(\d{3})?|[34]\d{4}([.,]\d+)?"  # compact, seconds since 1970, serial dates
)
TIME_OF_DAY = re.compile(r"\d{1,2}[:.]\d\d([:.]\d\d([.,]\d+)?)?\s?([ap]\.?m\.?)?", flags=re.IGNORECASE)
NUMBER = re.compile(r"[-+]?[\d\s.,'%]*\d[\d\s.,'%]*|\d+:\d\d(:\d\d)?")


@dataclass(frozen=True)
class ColumnProfile:
    """The values of a column of a file, in the rows of a sample."""

    name: str
    values: pd.Series[str]  # filled cells

    @cached_property
    def distinct(self) -> frozenset[str]:
        """The distinct values."""
        return frozenset(self.values.str.strip().str.casefold())

    @cached_property
    def unique_share(self) -> float:
        """The number of distinct values per filled cell."""
        return len(self.distinct) / max(len(self.values), 1)

    @cached_property
    def date_share(self) -> float:
        """The share of the values that look like dates."""
        return self._share(DATE)

    @cached_property
    def number_share(self) -> float:
        """The share of the values that look like numbers or durations."""
        return self._share(NUMBER)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of the header, in lower case."""
        return split_words(self.name)

    @property
    def is_date(self) -> bool:
        """Whether the values are dates."""
        return len(self.values) > 0 and self.date_share >= MIN_DATE_SHARE and not self.is_time_of_day

    @property
    def is_time_of_day(self) -> bool:
        """Whether the values are times without a date."""
        return self._share(TIME_OF_DAY) >= MIN_DATE_SHARE

    @property
    def is_day(self) -> bool:
        """Whether the values are dates without a time."""
        return self.is_date and not self.values.str.contains(r"\d:\d\d", regex=True).any()

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers."""
        return self.number_share >= MIN_NUMBER_SHARE

    @property
    def is_label(self) -> bool:
        """Whether the values can be labels: short texts that repeat."""
        limit = max(MIN_LABELS, min(MAX_LABELS, len(self.values) // 2), MAX_LABEL_SHARE * len(self.values))
        is_short = bool((self.values.str.len() <= MAX_LABEL_CHARS).all())
        return 0 < len(self.distinct) <= limit and is_short and (not self.is_date or self.is_number)

    @property
    def is_identifier(self) -> bool:
        """Whether the values identify rows."""
        return self.unique_share >= MIN_UNIQUE_SHARE

    def _share(self, pattern: re.Pattern[str]) -> float:
        if not len(self.values):
            return 0.0
        return float(self.values.str.strip().str.fullmatch(pattern).mean())


def split_words(name: str) -> tuple[str, ...]:
    """Split a header into words in lower case.

    Examples
    --------
    >>> split_words("QA_LabelFinal"), split_words("task.contentId"), split_words("Case #")
    (('qa', 'label', 'final'), ('task', 'content', 'id'), ('case', 'id'))
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name.replace("#", " id "))
    return tuple(word.casefold() for word in re.findall(r"[^\W_]+", spaced))


def profile_columns(sample: pd.DataFrame, names: Sequence[str]) -> list[ColumnProfile]:
    """Return a profile of each column of a sample whose cells are text; empty cells do not count.

    Parameters
    ----------
    sample
        Rows of the file, with one column per name in the same order.
    names
        The header of the file.

    Returns
    -------
    list of ColumnProfile
        The profiles in the order of the header.
    """
    profiles = []
    for position, name in enumerate(names):
        values = sample.iloc[:, position].astype("str")
        profiles.append(ColumnProfile(name, values[sample.iloc[:, position].notna() & (values.str.strip() != "")]))
    return profiles
