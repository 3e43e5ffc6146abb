"""Number formatting: shares near 0 and 1, singular and plural, weighted rates."""

import numpy as np
import pytest

from rca_lib.findings import Estimate, Rate, format_count, format_value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0 %"),
        (1.0, "100.0 %"),
        (1 - 1e-16, "100.0 %"),
        (-1e-17, "0.0 %"),
        (0.9996, "99.96 %"),
        (0.99951, "99.95 %"),
        (0.9994, "99.9 %"),
        (0.0004, "0.04 %"),
        (0.00051, "0.1 %"),
        (0.00049, "0.05 %"),
        (2e-6, "<0.001 %"),
        (1 - 2e-6, ">99.999 %"),
        (np.float64(0.5), "50.0 %"),
    ],
)
def test_only_exact_shares_read_0_or_100_per_cent(value, text):
    assert format_value(value, "%") == text


@pytest.mark.parametrize("items", [1, 7, 200, 2_000, 30_000, 1_000_000])
def test_a_single_error_and_a_single_correct_item_are_never_rounded_away(items):
    assert format_value(1 / items, "%") != "0.0 %"
    assert items == 1 or format_value(1 - 1 / items, "%") != "100.0 %"


def test_limits_are_formatted_like_the_value():
    assert str(Rate(1, 2500, 0.0004, 0.0001, 0.0016)) == "0.04 % (0.01 to 0.2; 1 of 2,500)"
    assert str(Estimate(0.0004, -0.0004, 0.003, "pp")) == "0.0 pp (0.0 to 0.3)"


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "error", "0 errors"),
        (1, "error", "1 error"),
        (1.2, "error", "1 error"),
        (-1, "error", "-1 error"),
        (-0.2, "error", "0 errors"),
        (2, "error", "2 errors"),
        (11, "day", "11 days"),
        (1_001, "policy", "1,001 policies"),
        (1, "policy", "1 policy"),
        (2, "exact duplicate", "2 exact duplicates"),
        (3, "match", "3 matches"),
        (2, "class", "2 classes"),
    ],
)
def test_counts_of_one_are_singular_and_others_plural(count, noun, text):
    assert format_count(count, noun) == text


@pytest.mark.parametrize("unit", ["errors", "items", "rows", "days"])
def test_units_of_counts_are_singular_for_one(unit):
    assert format_value(1, unit) == f"1 {unit[:-1]}"
    assert format_value(2, unit) == f"2 {unit}"
    assert format_value(1, unit, bare=True) == "1"
    assert str(Estimate(0.9, 0.2, 3.4, unit)) == f"1 {unit[:-1]} (0 to 3)"


def test_a_rate_that_differs_from_its_counts_is_called_weighted():
    assert str(Rate(201, 2524, 0.0570, 0.047, 0.068)) == "5.7 % (4.7 to 6.8; 201 of 2,524, weighted)"
    assert str(Rate(201, 2524, 201 / 2524, 0.069, 0.091)) == "8.0 % (6.9 to 9.1; 201 of 2,524)"
