"""Numbers and metrics as people write them in tables and slides."""

import pytest

from rca_lib.reporting.claim_values import parse_metric, parse_tolerance, parse_value


@pytest.mark.parametrize(
    ("text", "value", "rounding_error"),
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
def test_a_rate_keeps_its_rounding_error(text, value, rounding_error):
    parsed = parse_value(text, "change")[0]
    assert (parsed.value, parsed.operator) == (pytest.approx(value), "=")
    assert parsed.rounding_error == pytest.approx(rounding_error)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,500", 1500), ("1.500", 1500), ("1 500", 1500), ("1\u202f500", 1500), ("1'234'567", 1234567), ("12", 12)],
)
def test_a_count_may_have_any_thousands_separator(text, value):
    assert [(parsed.value, parsed.rounding_error) for parsed in parse_value(text, "count")] == [(value, 0.0)]


def test_the_last_of_two_separators_is_the_decimal_separator():
    assert parse_value("1.234,5", "count")[0].value == parse_value("1,234.5", "count")[0].value == 1234.5


def test_a_small_number_without_unit_is_parsed_as_share_and_as_per_cent():
    assert [parsed.value for parsed in parse_value("0.9", "share")] == [0.9, pytest.approx(0.009)]


@pytest.mark.parametrize(
    ("text", "operator"),
    [("at least 95 %", ">="), ("< 5%", "<"), ("no more than 5 %", "<="), (">=95%", ">="), ("fell", "<"), ("rose", ">")],
)
def test_a_value_may_be_a_limit_or_a_direction(text, operator):
    assert parse_value(text, "share")[0].operator == operator


@pytest.mark.parametrize("text", ["", "good", "unchanged", "n/a", "93 to 95", "%"])
def test_a_value_without_exactly_one_number_is_an_error(text):
    with pytest.raises(ValueError, match=r"number|empty|no change"):
        parse_value(text, "share")


def test_a_tolerance_without_unit_has_the_stricter_meaning():
    assert parse_tolerance("0.5", "share") == 0.005


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
def test_metrics_are_recognised_by_common_names(text, metric):
    assert parse_metric(text) == metric


def test_an_unknown_metric_gives_the_nearest_name():
    with pytest.raises(ValueError, match="nearest: accuracy"):
        parse_metric("acuracy")
