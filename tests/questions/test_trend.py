"""Trend: changes are dated with their interval, spikes and seasons are no changes, and events are named."""

from types import SimpleNamespace

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import DataError, Estimate, Quantity, Rate
from rca_lib.questions.trend import date_slices, find_changes
from rca_lib.reporting.plots.trend import plot_trend

DAYS = pd.date_range("2026-01-05", periods=120)


def make_counts(errors, items=200, times=DAYS) -> pd.DataFrame:
    return pd.DataFrame({"time": times[: len(errors)], "errors": errors, "items": items})


def draw_counts(seed: int, rates, items: int = 200) -> pd.DataFrame:
    return make_counts(np.random.default_rng(seed).binomial(items, rates), items)


DOUBLED = np.where(np.arange(120) < 70, 0.05, 0.10)


def resolve(result: object, path: str) -> object:
    return eval(f"result.{path}", {"result": result})


def test_a_doubled_rate_is_found_with_date_levels_and_difference():
    trend = find_changes(draw_counts(1, DOUBLED))
    (change,) = trend.changes
    assert change.kind == "step"
    assert change.interval[0] <= 70 <= change.interval[1]
    assert change.time_interval[0] <= "2026-03-16" <= change.time_interval[1]  # 70 days after 5 January
    assert change.before.low <= 0.05 <= change.before.high
    assert change.after.low <= 0.10 <= change.after.high
    assert change.difference.low <= 0.05 <= change.difference.high
    assert change.difference.unit == "pp"
    assert change.p_value <= 0.05
    assert not change.recent
    assert trend.summary().startswith("Error rate rose by")


def test_levels_are_the_counts_of_their_segments():
    counts = draw_counts(1, DOUBLED)
    trend = find_changes(counts)
    (change,) = trend.changes
    after = counts.iloc[change.position :]
    assert (change.after.errors, change.after.items) == (after["errors"].sum(), after["items"].sum())
    assert change.after.value == pytest.approx(after["errors"].sum() / after["items"].sum())


def test_no_change_is_named_in_a_constant_series():
    trend = find_changes(draw_counts(2, np.full(120, 0.06)))
    assert trend.changes == ()
    assert "No change" in trend.summary()
    (finding,) = trend.findings()
    assert (finding.kind, finding.grade) == ("steady", "not proven")
    assert trend.to_frame().empty


def test_row_order_does_not_matter():
    counts = draw_counts(1, DOUBLED)
    shuffled = counts.sample(frac=1, random_state=5)
    assert find_changes(shuffled) == find_changes(counts)


def test_every_finding_leads_to_its_estimate():
    rates = DOUBLED.copy()
    rates[30] = 0.4
    trend = find_changes(draw_counts(4, rates))
    findings = trend.findings()
    assert {finding.kind for finding in findings} == {"step", "spike"}
    assert "4 Feb 2026" in findings[-1].sentence
    for finding in (*findings, *find_changes(draw_counts(2, np.full(120, 0.06))).findings()):
        assert isinstance(finding.estimate, Estimate | Quantity)
    for finding in findings:
        assert resolve(trend, finding.path) == finding.estimate
        assert finding.since[1] <= finding.since[0] <= finding.since[2]


def test_a_spike_is_an_outlier_and_no_change_of_the_level():
    rates = np.full(120, 0.05)
    rates[50:52] = 0.3
    trend = find_changes(draw_counts(3, rates))
    (spike,) = trend.outliers
    assert (spike.position, spike.length) == (50, 2)
    assert isinstance(spike.value, Rate)
    assert trend.changes == ()
    assert "Spike of 2 steps" in trend.summary()


def test_a_change_in_the_last_days_is_recent_and_at_most_likely():
    rates = np.where(np.arange(120) < 115, 0.05, 0.35)
    trend = find_changes(draw_counts(6, rates))
    assert trend.changes[-1].recent
    assert "unconfirmed" in trend.summary()
    assert {finding.grade for finding in trend.findings() if finding.kind == "step"} == {"likely"}


def test_a_mirrored_rate_gives_the_mirrored_change():
    counts = draw_counts(1, DOUBLED)
    mirrored = counts.assign(errors=counts["items"] - counts["errors"])
    changes, mirrored_changes = find_changes(counts).changes, find_changes(mirrored).changes
    assert [change.position for change in changes] == [change.position for change in mirrored_changes]
    assert mirrored_changes[0].after.value == pytest.approx(1 - changes[0].after.value)
    assert mirrored_changes[0].difference.value == pytest.approx(-changes[0].difference.value)


def test_effective_counts_need_not_be_whole():
    counts = draw_counts(1, DOUBLED)
    effective = counts.assign(errors=counts["errors"] * 0.83, items=counts["items"] * 0.83)
    assert len(find_changes(effective).changes) == 1


def test_missing_days_and_numeric_times_are_accepted():
    counts = draw_counts(1, DOUBLED).assign(time=np.arange(120)).drop(index=[5, 6, 40])
    (change,) = find_changes(counts).changes
    assert change.time_interval[0] <= 70 <= change.time_interval[1]


def test_a_weekly_season_is_no_change_and_is_reported():
    factors = np.array([1.6, 1.0, 1.0, 1.0, 1.0, 0.7, 0.7])
    trend = find_changes(draw_counts(3, 0.06 * factors[np.arange(120) % 7]))
    assert trend.changes == ()
    assert len(trend.season) == 7
    assert max(trend.season) == trend.season[0]  # 5 January 2026 is a Monday
    assert find_changes(draw_counts(3, 0.06 * factors[np.arange(120) % 7]), season=None).season == ()


def test_a_step_without_items_counts_as_missing():
    counts = draw_counts(1, DOUBLED)
    counts.loc[20, ["errors", "items"]] = 0
    trend = find_changes(counts)
    assert len(trend.changes) == 1
    assert np.isnan(trend.steps[20].value)


def test_a_change_of_a_measurement_is_in_its_own_unit():
    values = np.random.default_rng(3).normal(40, 3, 100) + 8 * (np.arange(100) >= 60)
    (change,) = find_changes(pd.DataFrame({"time": DAYS[:100], "value": values})).changes
    assert change.interval[0] <= 60 <= change.interval[1]
    assert change.difference.low <= 8 <= change.difference.high
    assert change.difference.unit == ""


@pytest.mark.parametrize("errors", [[0] * 60, [7] * 60, [200] * 60])
def test_constant_counts_have_no_change_and_a_detectable_one(errors):
    trend = find_changes(make_counts(errors))
    assert trend.changes == ()
    assert trend.minimum_detectable.value > 0


def test_the_smallest_detectable_change_is_found_in_four_of_five_series():
    constant = find_changes(draw_counts(1, np.full(120, 0.08)))
    size = constant.minimum_detectable.value
    rates = np.where(np.arange(120) < 60, 0.08 - size / 2, 0.08 + size / 2)
    power = np.mean([len(find_changes(draw_counts(seed, rates)).changes) > 0 for seed in range(80)])
    assert 0.65 <= power <= 0.95


def test_each_slice_is_dated_by_its_own_series():
    rng = np.random.default_rng(8)
    day = np.repeat(DAYS.date, 200)
    queue = rng.choice(["video", "text"], len(day))
    rate = np.where((queue == "video") & (np.arange(len(day)) >= 70 * 200), 0.15, 0.05)
    audits = pd.DataFrame({"day": day, "queue": queue, "error": rng.random(len(day)) < rate})
    video, text = date_slices(audits, [SimpleNamespace(where={"queue": name}) for name in ("video", "text")])
    assert video.changes[0].interval[0] <= 70 <= video.changes[0].interval[1]
    assert text.changes == ()


def make_invalid_counts(**columns) -> pd.DataFrame:
    return pd.DataFrame({"time": [1, 2, 3, 4], "errors": [1, 2, 1, 2], "items": [9, 9, 9, 9]} | columns)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            make_invalid_counts(errors=[1, 12, 1, 11]),
            r"errors exceed items.*column errors; 2 rows; first: row=1, time=2, errors=12",
        ),
        (make_invalid_counts(errors=[1, -2, 1, 1]), r"negative.*column errors; 1 row; first: row=1"),
        (make_invalid_counts(items=[9, 9, -9, 9], errors=[0, 0, -9, 0]), r"negative.*row=2"),
        (make_invalid_counts(errors=[1, 2, np.nan, 1]), r"not a finite number.*column errors; 1 row; first: row=2"),
        (make_invalid_counts(items=[9, np.inf, 9, 9]), r"not a finite number.*column items"),
        (make_invalid_counts(errors=["1", "two", "1", "1"]), r"not a finite number.*errors=two"),
        (make_invalid_counts(time=[1, 2, 2, 4]), r"duplicate step.*column time; 1 row; first: row=2, time=2"),
        (make_invalid_counts(time=["2026-01-01", "soon", "2026-01-03", "2026-01-04"]), r"not a time.*time=soon"),
        (make_invalid_counts(items=[0, 0, 0, 0], errors=[0, 0, 0, 0]), r"no step has any items"),
        (make_invalid_counts().head(0), r"at least one step"),
        (make_invalid_counts().drop(columns="items"), r"no column 'items'"),
    ],
)
def test_invalid_input_is_refused_with_its_first_row(counts, message):
    with pytest.raises(DataError, match=message):
        find_changes(counts)


def test_an_alpha_that_is_not_a_probability_is_refused():
    with pytest.raises(ValueError, match="alpha"):
        find_changes(make_invalid_counts(), alpha=5)


def test_the_chart_shows_summary_spike_event_and_target():
    rates = DOUBLED.copy()
    rates[30] = 0.4
    events = pd.DataFrame({"start": ["2026-03-15", "2030-01-01"], "title": ["new tool", "far away"]})
    trend = find_changes(draw_counts(4, rates), events=events, target=0.06)
    axes = plot_trend(trend)
    assert axes.get_title(loc="left").replace("\n", " ") == trend.summary()
    labels = axes.get_legend_handles_labels()[1]
    assert {"level", "spike", "target", "when (95 %)"} <= set(labels)
    assert [text.get_text() for text in axes.texts] == ["new tool"]
    plt.close(axes.figure)


def test_a_series_without_change_is_drawn():
    axes = plot_trend(find_changes(make_counts([0] * 30)), plt.figure().add_subplot())
    assert "No change" in axes.get_title(loc="left")
    plt.close(axes.figure)


EVENTS = pd.DataFrame(
    {
        "start": pd.to_datetime(["2026-03-14", "2026-03-17", "2026-01-10", "2026-03-01"]),
        "title": ["new policy", "<b>hiring</b>", "far away", "training"],
    }
)


def test_the_nearest_events_are_named_with_their_distance():
    (change,) = find_changes(draw_counts(1, DOUBLED), events=EVENTS).changes
    day = pd.Timestamp(change.time)
    assert [event.title for event in change.events] == ["new policy", "<b>hiring</b>", "training"]
    dates = ("2026-03-14", "2026-03-17", "2026-03-01")
    assert [event.distance for event in change.events] == [(pd.Timestamp(date) - day).days for date in dates]
    first, last = change.time_interval
    assert [event.in_interval for event in change.events] == [first <= date <= last for date in dates]


def test_events_of_a_series_with_numeric_times_have_distances_in_its_unit():
    counts = draw_counts(1, DOUBLED).assign(time=np.arange(120))
    (change,) = find_changes(counts, events=pd.DataFrame({"start": [68], "title": ["new policy"]})).changes
    assert change.events[0].distance == 68 - change.position
    assert find_changes(counts, events=EVENTS.iloc[:0].assign(start=[])).changes[0].events == ()


def test_a_recent_change_states_what_would_confirm_it():
    trend = find_changes(draw_counts(6, np.where(np.arange(120) < 115, 0.05, 0.35)))
    change = trend.changes[-1]
    confirmation = change.confirmation
    assert confirmation.at_least
    assert confirmation.steps >= 7 - (120 - change.position)
    assert f"{confirmation.threshold:,.0f} errors" in trend.summary()
    assert f"{confirmation.steps} steps" in trend.summary()
    # by new audits alone: chance at most 1 in 40 at the level before, 4 times out of 5 at the level after
    rng = np.random.default_rng(0)
    items = round(confirmation.items)
    before, after = (rng.binomial(items, level.value, 4000) for level in (change.before, change.after))
    assert (before >= confirmation.threshold).mean() <= 0.025
    assert (after >= confirmation.threshold).mean() >= 0.8


def test_an_older_change_needs_no_confirmation():
    (change,) = find_changes(draw_counts(1, DOUBLED)).changes
    assert change.confirmation is None


def test_a_recent_change_of_a_measurement_is_confirmed_by_a_mean():
    values = np.random.default_rng(3).normal(np.where(np.arange(80) < 75, 60, 30), 5)
    trend = find_changes(pd.DataFrame({"time": DAYS[:80], "value": values}))
    confirmation = trend.changes[-1].confirmation
    assert not confirmation.at_least
    assert 30 < confirmation.threshold < 60
    assert "a mean of" in trend.summary()
    below = find_changes(pd.DataFrame({"time": DAYS[:80], "value": values - 100})).changes[-1].confirmation
    assert below.threshold == pytest.approx(confirmation.threshold - 100)


def test_each_of_many_close_levels_is_dated():
    levels = np.repeat(np.random.default_rng(0).permutation(np.arange(1, 13)) * 500_000, 20)
    counts = pd.DataFrame({"time": np.arange(240), "errors": levels, "items": 10_000_000})
    assert [change.position for change in find_changes(counts).changes] == list(range(20, 240, 20))


def test_a_measurement_without_noise_is_dated_exactly():
    values = np.r_[np.zeros(40), np.ones(40)]
    (change,) = find_changes(pd.DataFrame({"time": DAYS[:80], "value": values})).changes
    assert change.interval[0] <= change.position == 40 <= change.interval[1] < 80


@pytest.mark.parametrize("season", [0, 1, -3, "week", 2.5])
def test_an_invalid_season_is_refused(season):
    with pytest.raises(ValueError, match="season"):
        find_changes(draw_counts(1, DOUBLED), season=season)


def test_events_with_mixed_types_are_accepted_and_those_without_a_start_skipped():
    starts = [pd.NaT, pd.Timestamp("2026-03-15", tz="Asia/Manila"), "2026-03-16"]
    events = pd.DataFrame({"start": starts, "title": ["never", None, 7]})
    (change,) = find_changes(draw_counts(1, DOUBLED), events=events).changes
    assert sorted(event.title for event in change.events) == ["7", "None"]
    plt.close(plot_trend(find_changes(draw_counts(1, DOUBLED), events=events)).figure)
    with pytest.raises(DataError, match="no column 'title'"):
        find_changes(draw_counts(1, DOUBLED), events=events[["start"]])
