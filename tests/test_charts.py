"""The p chart and Laney's p′ chart against published charts."""

import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.questions.trend import make_control_chart
from rca_lib.stats.charts import chart_proportions

# Orange juice cans, 30 samples of 50 (Montgomery; data set `orangejuice` of R's qcc).
JUICE = "12 15 8 10 4 7 16 9 14 10 5 6 17 12 22 8 10 5 13 11 20 18 24 15 9 12 7 13 9 6"
# Attendances within four hours at NHS accident departments, 20 weeks (Mohammed and others 2013; `nhs_accidents`).
WITHIN = (
    "266501 264225 276532 281461 269071 261215 270409 279778 270483 270320 "
    "267923 271478 255353 256820 261835 259144 255910 260863 264465 260989"
)
ATTENDED = (
    "280443 276823 291681 296155 282343 275888 283867 295251 284468 282529 "
    "279618 283932 266629 268091 276803 271578 266005 273520 278574 273772"
)


def numbers(text: str) -> np.ndarray:
    return np.array(text.split(), float)


def counts_of(errors: np.ndarray, items: np.ndarray | float) -> pd.DataFrame:
    return pd.DataFrame({"time": np.arange(1, len(errors) + 1), "errors": errors, "items": items})


def test_orange_juice_signals_are_the_cardboard_batch_and_the_operator():
    chart = make_control_chart(counts_of(numbers(JUICE), 50), method="p")
    assert [position + 1 for position in chart.signals] == [15, 23]
    assert [round(number, 4) for number in (chart.centre, chart.upper[0], chart.lower[0])] == [0.2313, 0.4102, 0.0524]


def test_orange_juice_without_its_signals_has_the_published_limits():
    kept = np.delete(numbers(JUICE), [14, 22])
    chart = chart_proportions(kept, np.full(28, 50.0), method="p")
    assert [round(number, 4) for number in (chart.centre, chart.upper[0], chart.lower[0])] == [0.2150, 0.3893, 0.0407]


@pytest.mark.parametrize(
    ("total", "samples", "centre", "upper"), [(117, 20, 0.0585, 0.1289), (102, 19, 0.0537, 0.1213)]
)
def test_montgomery_limits_with_and_without_sample_12(total, samples, centre, upper):
    # Montgomery, solution 6-1: 20 samples of 100 with 117 in all; sample 12 held 15 of them, 102 remain.
    chart = chart_proportions(np.full(samples, total / samples), np.full(samples, 100.0), method="p")
    assert round(chart.centre, 4) == centre
    assert round(chart.upper[0], 4) == upper
    assert chart.lower[0] == 0


@pytest.mark.parametrize("screened", [False, True])
def test_laney_chart_of_nhs_accidents_has_the_published_values(screened):
    chart = make_control_chart(counts_of(numbers(WITHIN), numbers(ATTENDED)), screened=screened)
    assert chart.centre == pytest.approx(0.9528997, abs=5e-8)
    assert chart.sigma_z == pytest.approx(10.640422, abs=5e-6)
    assert (chart.lower[0], chart.upper[0]) == pytest.approx((0.9401296, 0.9656698), abs=5e-7)
    assert chart.signals == ()


def test_p_chart_of_nhs_accidents_drowns_in_signals():
    assert len(make_control_chart(counts_of(numbers(WITHIN), numbers(ATTENDED)), method="p").signals) == 16


def test_screening_drops_a_moving_range_that_is_itself_a_signal():
    errors = np.full(30, 50.0) + np.tile([1.0, -1.0], 15)
    errors[15] = 150
    kept, dropped = (
        chart_proportions(errors, np.full(30, 1000.0), screened=choice).sigma_z for choice in (False, True)
    )
    assert dropped < kept / 3  # 27 ranges of 2 errors remain of 29, two of about 100 being dropped


def test_order_of_rows_does_not_matter_to_a_chart():
    counts = counts_of(numbers(JUICE), 50)
    assert make_control_chart(counts.sample(frac=1, random_state=3)) == make_control_chart(counts)


def test_a_step_without_items_is_named():
    with pytest.raises(DataError, match=r"no items.*items=0"):
        make_control_chart(counts_of(np.zeros(3), np.array([5.0, 0.0, 5.0])))


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="neither"):
        chart_proportions(np.ones(3), np.full(3, 9.0), method="u")
