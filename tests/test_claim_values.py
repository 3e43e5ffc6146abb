"""Numbers, metrics and periods as people write them in tables and slides."""

from datetime import date

import pytest

from rca_lib.reporting.claim_periods import parse_claimed_period, period_before
from rca_lib.reporting.claim_values import name_metric, read_tolerance, read_value


@pytest.mark.parametrize(
    ("text", "value", "half_unit"),
    [
        ("93.0%", 0.93, 0.0005),
        ("93,0 %", 0.93, 0.0005),
        ("93", 0.93, 0.005),
        ("about 93 %", 0.93, 0.005),
        ("−1.25 pp", -0.0125, 0.00005),
        ("-1.2 percentage points", -0.012, 0.0005),
        ("+0.50 points", 0.005, 0.00005),
    ],
)
def test_a_rate_keeps_the_digits_it_was_rounded_to(text, value, half_unit):
    reading = read_value(text, "change")[0]
    assert (reading.value, reading.half_unit, reading.bound) == (pytest.approx(value), pytest.approx(half_unit), "=")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,500", 1500), ("1.500", 1500), ("1 500", 1500), ("1\u202f500", 1500), ("1'234'567", 1234567), ("12", 12)],
)
def test_a_count_may_have_any_mark_between_its_thousands(text, value):
    assert [(reading.value, reading.half_unit) for reading in read_value(text, "count")] == [(value, 0.0)]


def test_both_marks_tell_which_one_is_the_decimal_mark():
    assert read_value("1.234,5", "count")[0].value == read_value("1,234.5", "count")[0].value == 1234.5


def test_a_small_number_without_a_unit_is_read_both_as_a_share_and_as_per_cent():
    assert [reading.value for reading in read_value("0.9", "share")] == [0.9, pytest.approx(0.009)]


@pytest.mark.parametrize(
    ("text", "bound"),
    [("at least 95 %", ">="), ("< 5%", "<"), ("no more than 5 %", "<="), (">=95%", ">="), ("fell", "<"), ("rose", ">")],
)
def test_a_value_may_be_a_bound_or_a_direction(text, bound):
    assert read_value(text, "share")[0].bound == bound


@pytest.mark.parametrize("text", ["", "good", "unchanged", "n/a", "93 to 95", "%"])
def test_a_value_without_one_number_is_refused(text):
    with pytest.raises(ValueError, match=r"number|empty|nothing changed"):
        read_value(text, "share")


def test_a_tolerance_without_a_unit_is_read_the_stricter_way():
    assert read_tolerance("0.5", "share") == 0.005


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("Accuracy", ("accuracy", 1)),
        ("QA score", ("accuracy", 1)),
        ("Over-enforcement", ("over_enforcement", 1)),
        ("FNR", ("under_enforcement", 1)),
        ("Change in error rate", ("change_in_error_rate", 1)),
        ("accuracy drop", ("change_in_accuracy", -1)),
        ("decline of accuracy", ("change_in_accuracy", -1)),
        ("difference in accuracy", ("change_in_accuracy", 1)),
        ("Number of audits", ("audits", 1)),
    ],
)
def test_metrics_are_known_by_the_names_that_people_use(text, metric):
    assert name_metric(text) == metric


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(ValueError, match="nearest: accuracy"):
        name_metric("acuracy")


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026-03", date(2026, 3, 1), date(2026, 4, 1)),
        ("Mar 2026", date(2026, 3, 1), date(2026, 4, 1)),
        ("Sept. 2026", date(2026, 9, 1), date(2026, 10, 1)),
        ("03/2026", date(2026, 3, 1), date(2026, 4, 1)),
        ("Q1 2026", date(2026, 1, 1), date(2026, 4, 1)),
        ("2026-Q1", date(2026, 1, 1), date(2026, 4, 1)),
        ("week 12 2026", date(2026, 3, 16), date(2026, 3, 23)),
        ("2026", date(2026, 1, 1), date(2027, 1, 1)),
        ("2026-03-05", date(2026, 3, 5), date(2026, 3, 6)),
        ("2026-03-02..2026-03-08", date(2026, 3, 2), date(2026, 3, 9)),
    ],
)
def test_a_period_is_read_as_people_write_it(text, start, end):
    assert (parse_claimed_period(text).start, parse_claimed_period(text).end) == (start, end)


@pytest.mark.parametrize("text", ["last month", "2026-13", "2026-03-08 to 2026-03-02", "March", "W60 2026"])
def test_a_period_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="period"):
        parse_claimed_period(text)


@pytest.mark.parametrize(
    ("text", "start"), [("2026-03", date(2026, 2, 1)), ("2026-W12", date(2026, 3, 9)), ("2026", date(2025, 1, 1))]
)
def test_the_period_before_is_of_the_same_kind(text, start):
    assert period_before(parse_claimed_period(text)).start == start
