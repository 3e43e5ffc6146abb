"""Which of many series changed? Through the public door: one table in, one answer per series out."""

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rca_lib.audits.counting import MISSING
from rca_lib.findings import DataError
from rca_lib.questions.screening import screen_changes
from rca_lib.questions.trend import find_changes
from rca_lib.reporting.plots.screening import plot_screening

DAYS = pd.date_range("2026-01-05", periods=100)


def draw(seed: int, rates, **names) -> pd.DataFrame:
    errors = np.random.default_rng(seed).binomial(150, rates)
    return pd.DataFrame({**names, "time": DAYS[: len(errors)], "errors": errors, "items": 150})


def many(series: int = 60, moved: int = 10) -> pd.DataFrame:
    doubled = np.where(np.arange(100) < 60, 0.05, 0.10)
    return pd.concat(
        draw(number, doubled if number < moved else np.full(100, 0.05), site=f"s{number % 6}", queue=f"q{number // 6}")
        for number in range(series)
    )


SCREEN = screen_changes(many(), ["site", "queue"])


def test_the_series_that_moved_are_named_and_few_others():
    named = {(one.where["site"], one.where["queue"]) for one in SCREEN.changed}
    moved = {(f"s{number % 6}", f"q{number // 6}") for number in range(10)}
    assert moved <= named
    assert len(named - moved) <= 2
    assert [one.q_value for one in SCREEN.changed] == sorted(one.q_value for one in SCREEN.changed)


def test_q_values_are_those_of_benjamini_and_hochberg():
    p_values = np.array([one.trend.p_value for one in SCREEN.series])
    order = np.argsort(-p_values)
    stepped = np.minimum.accumulate(p_values[order] * len(order) / np.arange(len(order), 0, -1))
    assert np.array([SCREEN.series[place].q_value for place in order]) == pytest.approx(np.minimum(stepped, 1))
    assert all(one.changed == (one.q_value <= 0.1) for one in SCREEN.series)


def test_a_silent_series_has_no_change_and_says_what_it_could_have_seen():
    silent = [one for one in SCREEN.series if not one.changed]
    assert silent
    assert all(one.trend.changes == () and one.trend.minimum_detectable.value > 0 for one in silent)
    alone = find_changes(many().query("site == 's5' and queue == 'q9'"))
    (same,) = [one for one in silent if one.where == {"site": "s5", "queue": "q9"}]
    assert same.trend.minimum_detectable.value > alone.minimum_detectable.value  # many looks cost power
    assert "A silent series would mostly have shown a change of" in SCREEN.summary()


def test_a_row_per_change_and_per_silent_series():
    frame = SCREEN.to_frame()
    assert len(frame) == sum(max(len(one.trend.changes), 1) for one in SCREEN.series)
    assert frame["q_value"].is_monotonic_increasing
    assert frame.loc[frame["kind"].isna(), "q_value"].min() > 0.1


def test_findings_lead_to_their_numbers():
    for finding in SCREEN.findings():
        assert eval(f"screen.{finding.path}", {"screen": SCREEN}) == finding.estimate
        assert set(finding.where) == {"site", "queue"}


def test_processes_and_progress_change_nothing(capsys):
    again = screen_changes(many(8, 1), ["site", "queue"], jobs=2, progress=True)
    assert again == screen_changes(many(8, 1).sample(frac=1, random_state=1), ["site", "queue"], jobs=1)
    assert "8/8" in capsys.readouterr().err


def test_what_cannot_be_read_is_left_out_by_name_and_a_missing_name_is_a_series():
    table = pd.concat(
        [draw(1, np.full(100, 0.05), queue=None), draw(2, np.full(1, 0.05), queue="short"),
         draw(3, np.zeros(100), queue="empty").assign(items=0), draw(4, np.zeros(100), queue="without errors")]
    )  # fmt: skip
    screen = screen_changes(table, ["queue"])
    assert [one.where["queue"] for one in screen.series] == ["without errors", MISSING]
    assert [where["queue"] for where in screen.left_out] == ["empty", "short"]
    assert "2 too short to be looked at" in screen.summary()


def test_a_bad_row_is_named_with_its_series():
    table = many(4, 0).reset_index(drop=True)
    table.loc[150, "errors"] = 151
    with pytest.raises(DataError, match=r"errors exceed items .*row=150, site=s1"):
        screen_changes(table, ["site", "queue"])
    with pytest.raises(DataError, match="a step is there twice"):
        screen_changes(pd.concat([many(2, 0), many(1, 0)]), ["site", "queue"])
    with pytest.raises(DataError, match="no column 'policy'"):
        screen_changes(table, ["policy"])
    with pytest.raises(DataError, match="'time' cannot name a series"):
        screen_changes(table, ["time"])
    with pytest.raises(ValueError, match="has to name one column"):
        screen_changes(table, [])
    with pytest.raises(ValueError, match=r"fdr 1.5 is not between"):
        screen_changes(table, ["site"], fdr=1.5)


def test_measurements_are_screened_as_well():
    generator = np.random.default_rng(5)
    frames = [
        pd.DataFrame({"queue": name, "time": DAYS, "value": generator.normal(60 + jump * (np.arange(100) >= 40), 5)})
        for name, jump in (("ads", 0), ("video", 20))
    ]
    screen = screen_changes(pd.concat(frames), ["queue"])
    assert [one.where["queue"] for one in screen.changed] == ["video"]


def test_an_event_counts_for_the_series_of_its_scope_only():
    events = pd.DataFrame({"start": [DAYS[60]] * 3, "title": ["all", "mine", "other"],
                           "scope": [None, "site=s1", "site=s2;queue=q0"]})  # fmt: skip
    screen = screen_changes(many(), ["site", "queue"], events=events)
    named = {one.where["site"]: {event.title for event in one.trend.changes[-1].events} for one in screen.changed}
    assert named["s1"] == {"all", "mine"}
    assert named["s3"] == {"all"}


def test_the_picture_has_a_line_per_series_that_changed():
    events = pd.DataFrame({"start": [DAYS[60], DAYS[5]], "title": ["$policy$", "before all"]})
    screen = screen_changes(many(), ["site", "queue"], events=events)
    axes = plot_screening(screen)
    assert len(axes.get_yticklabels()) == len(screen.changed)
    told = [text.get_text() for text in axes.texts]
    assert "$policy$" in told
    assert "before all" not in told
    assert axes.get_title(loc="left") == f"{screen.headline}."
    quiet = plot_screening(screen_changes(many(3, 0), ["site", "queue"]))
    assert "no series changed" in [text.get_text() for text in quiet.texts]
    plt.close("all")
