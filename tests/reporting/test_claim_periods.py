"""Periods as people write them in tables and slides."""

from datetime import date

import pytest

from rca_lib.reporting.claim_periods import get_previous_period, parse_claim_period


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
def test_a_period_is_parsed_as_people_write_it(text, start, end):
    assert (parse_claim_period(text).start, parse_claim_period(text).end) == (start, end)


@pytest.mark.parametrize("text", ["last month", "2026-13", "2026-03-08 to 2026-03-02", "March", "W60 2026"])
def test_an_invalid_period_is_an_error(text):
    with pytest.raises(ValueError, match="period"):
        parse_claim_period(text)


@pytest.mark.parametrize(
    ("text", "start"), [("2026-03", date(2026, 2, 1)), ("2026-W12", date(2026, 3, 9)), ("2026", date(2025, 1, 1))]
)
def test_the_previous_period_is_of_the_same_kind(text, start):
    assert get_previous_period(parse_claim_period(text)).start == start
