"""Screening: the series that changed are named at the stated false discovery rate."""

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rca_lib.audits.counting import MISSING_VALUE
from rca_lib.findings import DataError
from rca_lib.questions.screening import screen_series
from rca_lib.questions.trend import find_changes
from rca_lib.reporting.plots.screening import plot_screening

DAYS = pd.date_range("2026-01-05", periods=100)


def draw_series(seed: int, rates, **names) -> pd.DataFrame:
    errors = np.random.default_rng(seed).binomial(150, rates)
    return pd.DataFrame({**names, "time": DAYS[: len(errors)], "errors": errors, "items": 150})


def draw_many(series: int = 60, changed: int = 10) -> pd.DataFrame:
    """Draw series of 100 days; the rate of the first `changed` ones doubles on day 60."""
    doubled = np.where(np.arange(100) < 60, 0.05, 0.10)
    return pd.concat(
        draw_series(
            number, doubled if number < changed else np.full(100, 0.05), site=f"s{number % 6}", queue=f"q{number // 6}"
        )
        for number in range(series)
    )


SCREENING = screen_series(draw_many(), ["site", "queue"])


def test_the_series_that_changed_are_named_and_few_others():
    named = {(entry.where["site"], entry.where["queue"]) for entry in SCREENING.changed}
    changed = {(f"s{number % 6}", f"q{number // 6}") for number in range(10)}
    assert changed <= named
    assert len(named - changed) <= 2
    assert [entry.q_value for entry in SCREENING.changed] == sorted(entry.q_value for entry in SCREENING.changed)


def test_q_values_are_those_of_benjamini_and_hochberg():
    p_values = np.array([entry.trend.p_value for entry in SCREENING.series])
    order = np.argsort(-p_values)
    expected = np.minimum.accumulate(p_values[order] * len(order) / np.arange(len(order), 0, -1))
    assert np.array([SCREENING.series[index].q_value for index in order]) == pytest.approx(np.minimum(expected, 1))
    assert all(entry.changed == (entry.q_value <= 0.1) for entry in SCREENING.series)


def test_an_unchanged_series_states_its_smallest_detectable_change():
    unchanged = [entry for entry in SCREENING.series if not entry.changed]
    assert unchanged
    assert all(entry.trend.changes == () and entry.trend.minimum_detectable.value > 0 for entry in unchanged)
    alone = find_changes(draw_many().query("site == 's5' and queue == 'q9'"))
    (screened,) = [entry for entry in unchanged if entry.where == {"site": "s5", "queue": "q9"}]
    assert screened.trend.minimum_detectable.value > alone.minimum_detectable.value  # many tests cost power
    assert "Smallest detectable change" in SCREENING.summary()


def test_the_frame_has_a_row_per_change_and_per_unchanged_series():
    frame = SCREENING.to_frame()
    assert len(frame) == sum(max(len(entry.trend.changes), 1) for entry in SCREENING.series)
    assert frame["q_value"].is_monotonic_increasing
    assert frame.loc[frame["kind"].isna(), "q_value"].min() > 0.1


def test_every_finding_leads_to_its_number():
    for finding in SCREENING.findings():
        assert eval(f"screening.{finding.path}", {"screening": SCREENING}) == finding.estimate
        assert set(finding.where) == {"site", "queue"}


def test_the_number_of_processes_and_a_progress_bar_change_nothing(capsys):
    parallel = screen_series(draw_many(8, 1), ["site", "queue"], n_jobs=2, progress=True)
    assert parallel == screen_series(draw_many(8, 1).sample(frac=1, random_state=1), ["site", "queue"], n_jobs=1)
    assert "8/8" in capsys.readouterr().err


def test_short_and_empty_series_are_skipped_by_name_and_a_missing_name_is_a_series():
    series = [
        draw_series(1, np.full(100, 0.05), queue=None),
        draw_series(2, np.full(1, 0.05), queue="short"),
        draw_series(3, np.zeros(100), queue="empty").assign(items=0),
        draw_series(4, np.zeros(100), queue="without errors"),
    ]
    table = pd.concat(series)
    screening = screen_series(table, ["queue"])
    assert [entry.where["queue"] for entry in screening.series] == ["without errors", MISSING_VALUE]
    assert [where["queue"] for where in screening.skipped] == ["empty", "short"]
    assert "2 too short to test" in screening.summary()


def test_an_invalid_row_is_named_with_its_series():
    table = draw_many(4, 0).reset_index(drop=True)
    table.loc[150, "errors"] = 151
    with pytest.raises(DataError, match=r"errors exceed items .*row=150, site=s1"):
        screen_series(table, ["site", "queue"])
    with pytest.raises(DataError, match="duplicate step"):
        screen_series(pd.concat([draw_many(2, 0), draw_many(1, 0)]), ["site", "queue"])
    with pytest.raises(DataError, match="no column 'policy'"):
        screen_series(table, ["policy"])
    with pytest.raises(DataError, match="'time' cannot name a series"):
        screen_series(table, ["time"])
    with pytest.raises(ValueError, match="has to name one column"):
        screen_series(table, [])
    with pytest.raises(ValueError, match=r"fdr 1.5 is not between"):
        screen_series(table, ["site"], fdr=1.5)


def test_series_of_measurements_are_screened():
    rng = np.random.default_rng(5)
    frames = [
        pd.DataFrame({"queue": name, "time": DAYS, "value": rng.normal(60 + jump * (np.arange(100) >= 40), 5)})
        for name, jump in (("ads", 0), ("video", 20))
    ]
    screening = screen_series(pd.concat(frames), ["queue"])
    assert [entry.where["queue"] for entry in screening.changed] == ["video"]


def test_an_event_is_used_for_the_series_in_its_scope_only():
    events = pd.DataFrame({"start": [DAYS[60]] * 3, "title": ["all", "mine", "other"],
                           "scope": [None, "site=s1", "site=s2;queue=q0"]})  # fmt: skip
    screening = screen_series(draw_many(), ["site", "queue"], events=events)
    titles = {
        entry.where["site"]: {event.title for event in entry.trend.changes[-1].events} for entry in screening.changed
    }
    assert titles["s1"] == {"all", "mine"}
    assert titles["s3"] == {"all"}


def test_the_chart_has_a_row_per_changed_series():
    events = pd.DataFrame({"start": [DAYS[60], DAYS[5]], "title": ["$policy$", "before all"]})
    screening = screen_series(draw_many(), ["site", "queue"], events=events)
    axes = plot_screening(screening)
    assert len(axes.get_yticklabels()) == len(screening.changed)
    texts = [text.get_text() for text in axes.texts]
    assert "$policy$" in texts
    assert "before all" not in texts
    assert axes.get_title(loc="left") == f"{screening.headline}."
    quiet = plot_screening(screen_series(draw_many(3, 0), ["site", "queue"]))
    assert "no change proven" in [text.get_text() for text in quiet.texts]
    plt.close("all")
