"""The p chart and Laney's p′ chart against published charts."""

import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.questions.trend import make_control_chart
from rca_lib.stats.charts import chart_proportions, find_signals, sum_deviations

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


# Montgomery, Introduction to Statistical Quality Control, example 9.1: mean 10, standard deviation 1, shifted after 20.
SHIFTED = (
    "9.45 7.99 9.29 11.66 12.16 10.18 8.04 11.46 9.20 10.34 9.03 11.47 10.51 9.40 10.08 "
    "9.37 10.62 10.31 8.52 10.84 10.90 9.33 12.29 11.50 10.60 11.08 10.38 11.62 11.31 10.52"
)


def test_cusum_of_montgomery_passes_its_limit_at_29_and_grew_from_23_on():
    cusum = sum_deviations(numbers(SHIFTED), centre=10)
    assert cusum.high[28] == pytest.approx(5.28, abs=0.005)
    assert [position + 1 for position in cusum.signals] == [29]
    assert [position + 1 for position in cusum.since] == [23]


def test_cusum_signals_falsely_once_in_465_steps_and_sees_one_sigma_in_ten():
    generator = np.random.default_rng(1)

    def mean_run(shift: float, runs: int) -> float:
        lengths = [sum_deviations(generator.normal(shift, 1, 5000)).signals[0] + 1 for _ in range(runs)]
        return float(np.mean(lengths))

    assert mean_run(0.0, 150) == pytest.approx(465, rel=0.25)
    assert mean_run(1.0, 150) == pytest.approx(10.4, rel=0.1)


@pytest.mark.parametrize(
    ("standardised", "rule", "positions", "above"),
    [
        ([0.5, -0.5, 3.1, 0.2], "outside", [2], True),
        ([-0.5, *[0.5, 0.6] * 3, 0.5, -0.1], "run", range(1, 8), True),
        ([0.5, 0.4, -0.1, -0.2, -0.3, 0.1, 0.05, 0.0, -0.1, -0.2, -0.3, -0.4], "trend", range(5, 12), False),
        ([0.1, -2.1, 0.3, -2.2, 0.1], "two of three", [1, 3], False),
        ([0.1, 2.1, 0.3, -2.2, 0.1], "", [], True),
    ],
)
def test_each_rule_of_making_data_count_marks_its_points(standardised, rule, positions, above):
    signals = find_signals(np.array(standardised))
    assert [signal.position for signal in signals] == list(positions)
    assert {(signal.rule, signal.above) for signal in signals} == ({(rule, above)} if rule else set())


def test_variation_and_assurance_read_as_making_data_count_does():
    generator = np.random.default_rng(2)
    steady = counts_of(generator.binomial(500, 0.05, 20), 500)
    readings = [make_control_chart(steady, target=target) for target in (0.12, 0.05, 0.01)]
    assert [chart.assurance for chart in readings] == ["pass", "hit or miss", "fail"]
    assert {chart.variation for chart in readings} == {"common cause"}
    assert "the target of 1.0 % errors will be missed at every step" in readings[2].summary()
    assert make_control_chart(steady.head(5)).summary().startswith("Only 5 steps, and a chart needs about twenty.")
    worse = make_control_chart(pd.concat([steady, pd.DataFrame({"time": [21], "errors": [60], "items": [500]})]))
    assert (worse.variation, worse.assurance) == ("concern", "")
    assert "concerning" in worse.summary()
    better = make_control_chart(pd.concat([steady, pd.DataFrame({"time": [21], "errors": [3], "items": [500]})]))
    assert better.variation == "improvement"
