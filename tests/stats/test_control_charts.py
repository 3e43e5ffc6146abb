"""Control charts against published examples."""

import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.questions.trend import compute_control_chart
from rca_lib.stats.control_charts import compute_p_chart, find_signals

# Orange juice cans, 30 samples of 50 (Montgomery; data set `orangejuice` of R's qcc).
ORANGE_JUICE = "12 15 8 10 4 7 16 9 14 10 5 6 17 12 22 8 10 5 13 11 20 18 24 15 9 12 7 13 9 6"
# Attendances within four hours at NHS accident departments, 20 weeks (Mohammed and others 2013; `nhs_accidents`).
WITHIN_FOUR_HOURS = (
    "266501 264225 276532 281461 269071 261215 270409 279778 270483 270320 "
    "267923 271478 255353 256820 261835 259144 255910 260863 264465 260989"
)
ATTENDANCES = (
    "280443 276823 291681 296155 282343 275888 283867 295251 284468 282529 "
    "279618 283932 266629 268091 276803 271578 266005 273520 278574 273772"
)


def parse(text: str) -> np.ndarray:
    return np.array(text.split(), float)


def make_counts(errors: np.ndarray, items: np.ndarray | float) -> pd.DataFrame:
    return pd.DataFrame({"time": np.arange(1, len(errors) + 1), "errors": errors, "items": items})


def test_orange_juice_signals_are_the_cardboard_batch_and_the_operator():
    chart = compute_control_chart(make_counts(parse(ORANGE_JUICE), 50), method="p")
    assert [position + 1 for position in chart.signals] == [15, 23]
    assert (chart.centre, chart.upper[0], chart.lower[0]) == pytest.approx((0.2313, 0.4102, 0.0524), abs=5e-5)


def test_orange_juice_without_its_signals_has_the_published_limits():
    remaining = np.delete(parse(ORANGE_JUICE), [14, 22])
    chart = compute_p_chart(remaining, np.full(28, 50.0), method="p")
    assert (chart.centre, chart.upper[0], chart.lower[0]) == pytest.approx((0.2150, 0.3893, 0.0407), abs=5e-5)


@pytest.mark.parametrize(
    ("total", "samples", "centre", "upper"), [(117, 20, 0.0585, 0.1289), (102, 19, 0.0537, 0.1213)]
)
def test_limits_with_and_without_sample_12_agree_with_montgomery(total, samples, centre, upper):
    # Montgomery, solution 6-1: 20 samples of 100 with 117 in all; sample 12 held 15 of them, 102 remain.
    chart = compute_p_chart(np.full(samples, total / samples), np.full(samples, 100.0), method="p")
    assert round(chart.centre, 4) == centre
    assert round(chart.upper[0], 4) == upper
    assert chart.lower[0] == 0


@pytest.mark.parametrize("screen_ranges", [False, True])
def test_laney_chart_of_nhs_accidents_has_the_published_values(screen_ranges):
    counts = make_counts(parse(WITHIN_FOUR_HOURS), parse(ATTENDANCES))
    chart = compute_control_chart(counts, screen_ranges=screen_ranges)
    assert chart.centre == pytest.approx(0.9528997, abs=5e-8)
    assert chart.sigma_z == pytest.approx(10.640422, abs=5e-6)
    assert (chart.lower[0], chart.upper[0]) == pytest.approx((0.9401296, 0.9656698), abs=5e-7)
    assert chart.signals == ()


def test_p_chart_of_nhs_accidents_has_too_many_signals():
    counts = make_counts(parse(WITHIN_FOUR_HOURS), parse(ATTENDANCES))
    assert len(compute_control_chart(counts, method="p").signals) == 16


def test_screening_drops_a_moving_range_that_is_itself_a_signal():
    errors = np.full(30, 50.0) + np.tile([1.0, -1.0], 15)
    errors[15] = 150
    items = np.full(30, 1000.0)
    unscreened = compute_p_chart(errors, items, screen_ranges=False).sigma_z
    screened = compute_p_chart(errors, items, screen_ranges=True).sigma_z
    assert screened < unscreened / 3  # 27 ranges of 2 errors remain of 29; two of about 100 are dropped


def test_order_of_rows_does_not_matter():
    counts = make_counts(parse(ORANGE_JUICE), 50)
    assert compute_control_chart(counts.sample(frac=1, random_state=3)) == compute_control_chart(counts)


def test_a_step_without_items_is_an_error_that_names_it():
    with pytest.raises(DataError, match=r"no items.*items=0"):
        compute_control_chart(make_counts(np.zeros(3), np.array([5.0, 0.0, 5.0])))


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="neither"):
        compute_p_chart(np.ones(3), np.full(3, 9.0), method="u")


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


@pytest.fixture
def stable_counts() -> pd.DataFrame:
    return make_counts(np.random.default_rng(2).binomial(500, 0.05, 20), 500)


def add_step(counts: pd.DataFrame, errors: int) -> pd.DataFrame:
    return pd.concat([counts, pd.DataFrame({"time": [21], "errors": [errors], "items": [500]})])


def test_assurance_says_whether_a_stable_process_meets_its_target(stable_counts):
    charts = [compute_control_chart(stable_counts, target=target) for target in (0.12, 0.05, 0.01)]
    assert [chart.assurance for chart in charts] == ["pass", "hit or miss", "fail"]
    assert {chart.variation for chart in charts} == {"common cause"}
    assert "target of 1.0 % errors will be missed at every step" in charts[2].summary()


def test_variation_is_a_concern_if_the_last_step_is_above_its_usual_range(stable_counts):
    chart = compute_control_chart(add_step(stable_counts, 60))
    assert (chart.variation, chart.assurance) == ("concern", "")
    assert "concerning" in chart.summary()


def test_variation_is_an_improvement_if_the_last_step_is_below_its_usual_range(stable_counts):
    assert compute_control_chart(add_step(stable_counts, 3)).variation == "improvement"


def test_a_short_chart_comes_with_a_caution(stable_counts):
    assert "only 5 steps" in compute_control_chart(stable_counts.head(5)).summary()
