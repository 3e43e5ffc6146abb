"""Error tagging: error types, causes and their sources, shares with weights, and invalid input."""

import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from rca_lib.audits.error_types import ERROR_TYPES
from rca_lib.audits.taxonomy import DEFAULT_TAXONOMY, read_taxonomy
from rca_lib.findings import DataError, Quantity
from rca_lib.questions.error_tagging import tag_errors
from rca_lib.reporting.plots.error_tagging import plot_error_tagging

TAXONOMY = read_taxonomy()
START = pd.Timestamp("2026-03-02 09:00")


@pytest.fixture
def write(tmp_path):
    def write_file(text):
        file = tmp_path / "taxonomy.yml"
        file.write_text(text, encoding="utf-8")
        return file

    return write_file


def _rows(*rows, **common):
    """One row per error by default: labelled benign where the truth is hate."""
    fixed = {"policy": "hate", "rater": "r1", "label": "benign", "truth": "hate", "decided_at": START, **common}
    return pd.DataFrame([{"audit_id": f"a{index:04}", **fixed, **row} for index, row in enumerate(rows)])


def _events(**event):
    fixed = {"event_id": "e", "type": "policy_update", "start": START, "end": pd.NaT, "scope": "policy=hate"}
    return pd.DataFrame([{**fixed, "title": "update", **event}])


def _tags(audits, **options):
    return [(tag.error_type, tag.cause, tag.source) for tag in tag_errors(audits, TAXONOMY, **options).tags]


def _causes(audits, **options):
    return [tag.cause for tag in tag_errors(audits, TAXONOMY, **options).tags]


def _no_rules(write):
    text = DEFAULT_TAXONOMY.read_text(encoding="utf-8")
    return read_taxonomy(write(text[: text.index("\nrules:")] + "\nrules: {}\n"))


# --- error types ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "error_type"),
    [
        ({"label": "hate", "truth": "benign"}, "over_enforcement"),
        ({"label": "benign", "truth": "hate"}, "under_enforcement"),
        ({"label": "spam", "truth": "hate"}, "wrong_policy"),
        ({"label": "spam", "truth": "hate", "policy": None}, "wrong_label"),
        ({"label": "spam", "truth": "hate", "workflow": "annotation"}, "wrong_label"),
        ({"label": "hate", "truth": "hate", "action": "warn", "true_action": "remove", "error": 1}, "wrong_action"),
        (
            {"label": "hate", "truth": "hate", "action": "escalate", "true_action": "remove", "error": 1},
            "wrong_escalation",
        ),
        ({"label": "escalate", "truth": "hate"}, "wrong_escalation"),
        ({"label": "hate", "truth": "hate", "action": "remove", "true_action": "remove", "error": 1}, "technical"),
        ({"label": "hate", "truth": "hate", "action": None, "true_action": "remove", "error": 1}, "technical"),
        ({"label": None, "truth": "hate", "error": 1}, "incomplete"),
    ],
)
def test_the_error_type_follows_from_label_truth_and_action(row, error_type):
    tagging = tag_errors(_rows(row), TAXONOMY)
    assert [tag.error_type for tag in tagging.tags] == [error_type]
    (share,) = tagging.by_error_type
    assert (share.code, share.name, share.errors) == (error_type, ERROR_TYPES[error_type], 1)


def test_ordered_labels_are_classified_by_distance_and_must_be_on_the_scale():
    audits = _rows({"label": "poor", "truth": "fair"}, {"label": "good", "truth": "poor"}, workflow="search_eval")
    kinds = [tag.error_type for tag in tag_errors(audits, TAXONOMY, label_order=["poor", "fair", "good"]).tags]
    assert kinds == ["one_step_off", "more_steps_off"]
    with pytest.raises(
        DataError, match=r"label is not on the scale .*column label; 1 row; first: audit_id=a0001, label=good"
    ):
        tag_errors(audits, TAXONOMY, label_order=["poor", "fair"])


def test_benign_labels_can_be_declared():
    audits = _rows({"label": "keep", "truth": "hate"})
    assert [tag.error_type for tag in tag_errors(audits, TAXONOMY, benign=("keep",)).tags] == ["under_enforcement"]


# --- causes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ({"policy_version_decided": "3", "policy_version_audited": "4"}, "MEA.GT_STALE"),
        ({"policy_version_decided": "3", "policy_version_audited": "3"}, "UNK.UNK"),
        ({"policy_version_decided": None, "policy_version_audited": "3"}, "UNK.UNK"),
        ({"dispute": "upheld_rater"}, "MEA.GT_WRONG"),
        ({"dispute": "upheld_auditor"}, "UNK.UNK"),
        ({"tenure_days": 30}, "TRN.ONB"),
        ({"tenure_days": 31}, "UNK.UNK"),
        ({"tenure_days": None}, "UNK.UNK"),
        ({"handle_seconds": 2.5}, "PPL.SLIP"),
        ({"model_label": "benign"}, "TOL.MODEL"),
        ({"model_label": "hate"}, "UNK.UNK"),
        ({"comment": "Rater hit the WRONG BUTTON."}, "PPL.SLIP"),
        ({"comment": "video would not play"}, "TOL.RENDER"),
        ({"comment": "applied the old guideline"}, "TRN.UPD"),
        ({"comment": "definition unclear"}, "POL.AMBIG"),
        ({"comment": "the audit was wrong"}, "MEA.GT_WRONG"),
        ({"comment": "clearly a slur"}, "UNK.UNK"),
        ({"comment": None}, "UNK.UNK"),
        ({"tenure_days": 3, "dispute": "upheld_rater", "comment": "misclick"}, "MEA.GT_WRONG"),  # in the file's order
        ({"tenure_days": 3, "comment": "misclick"}, "PPL.SLIP"),
    ],
)
def test_a_rule_assigns_the_planted_cause(row, cause):
    (tag,) = tag_errors(_rows(row), TAXONOMY).tags
    assert tag.cause == cause
    rule = TAXONOMY.rules.get(tag.source.removeprefix("rule:"))
    assert (tag.source, tag.confidence) == ("none", 0.0) if cause == "UNK.UNK" else tag.confidence == rule.confidence


def test_an_update_explains_errors_for_14_days_and_only_on_its_policy():
    days = [-0.01, 0, 13.99, 14, 14.01]
    audits = _rows(*({"decided_at": START + pd.Timedelta(days=day)} for day in days), {"policy": "spam"})
    updated = [tag[1] for tag in _tags(audits, events=_events())]
    assert updated == ["UNK.UNK", "TRN.UPD", "TRN.UPD", "TRN.UPD", "UNK.UNK", "UNK.UNK"]
    assert set(_causes(audits, events=_events(scope="queue=q1"))) == {"UNK.UNK"}  # no such column
    assert set(_causes(audits, events=_events(scope=None))) == {"UNK.UNK"}  # the update names no policy
    assert _causes(audits, events=_events(scope="policy=*"))[-1] == "TRN.UPD"
    assert set(_causes(audits, events=_events(type="staffing"))) == {"UNK.UNK"}


def test_an_outage_explains_errors_until_its_end_or_for_a_day_while_it_is_open():
    audits = _rows({}, {"decided_at": START + pd.Timedelta(hours=3)}, {"decided_at": START + pd.Timedelta(hours=25)})
    closed = _events(type="outage", end=START + pd.Timedelta(hours=2), scope="")
    assert _causes(audits, events=closed) == ["ENV.OUTAGE", "UNK.UNK", "UNK.UNK"]
    assert _causes(audits, events=_events(type="outage", scope="")) == ["ENV.OUTAGE", "ENV.OUTAGE", "UNK.UNK"]
    zoned = audits.assign(decided_at=audits["decided_at"].dt.tz_localize("UTC").dt.tz_convert("Asia/Manila"))
    assert _causes(zoned, events=closed) == ["ENV.OUTAGE", "UNK.UNK", "UNK.UNK"]


def test_codes_of_people_precede_rules_and_two_different_codes_halve_the_confidence():
    rows = [
        ("PPL.KNOW", None),
        (" PPL.KNOW", "PPL.KNOW"),
        ("PPL.KNOW", "POL.GAP"),
        (None, "POL.GAP"),
        (None, None),
        ("UNK", None),
    ]
    audits = _rows(*({"cause_code": first, "cause2_code": second} for first, second in rows), comment="misclick")
    tagging = tag_errors(audits, TAXONOMY)
    assert [(tag.cause, tag.source, tag.confidence) for tag in tagging.tags] == [
        ("PPL.KNOW", "person", 1.0),
        ("PPL.KNOW", "person", 1.0),
        ("PPL.KNOW", "person", 0.5),
        ("POL.GAP", "person", 1.0),
        ("PPL.SLIP", "rule:comment tells of a slip", 0.6),
        ("UNK.UNK", "person", 1.0),
    ]
    assert tagging.tags_by_source == (("person", 5), ("rule:comment tells of a slip", 1))
    assert tagging.undetermined == 1


def test_an_unknown_cause_code_is_reported():
    audits = _rows({}, {"cause_code": "PPL.TYPO"})
    with pytest.raises(DataError, match=r"column cause_code; 1 row; first: audit_id=a0001, cause_code=PPL\.TYPO"):
        tag_errors(audits, TAXONOMY)


def test_the_kappa_of_coders_agrees_with_the_published_table():
    # Cohen's kappa of [[0,4,1],[0,8,0],[0,1,5]]: .4842, 95 % .2137 to .7547 (SAS, as printed in statsmodels' tests).
    codes, table = ("PPL.SLIP", "PPL.KNOW", "POL.GAP"), [[0, 4, 1], [0, 8, 0], [0, 1, 5]]
    pairs = [(codes[i], codes[j]) for i in range(3) for j in range(3) for _ in range(table[i][j])]
    audits = _rows(*({"cause_code": first, "cause2_code": second} for first, second in pairs), {"cause_code": codes[0]})
    kappa = tag_errors(audits, TAXONOMY).coder_kappa
    assert [round(value, 4) for value in (kappa.value, kappa.low, kappa.high)] == [0.4842, 0.2137, 0.7547]


def test_kappa_needs_two_codes_and_has_no_interval_where_it_is_perfect():
    same = [{"cause_code": "PPL.SLIP", "cause2_code": "PPL.SLIP"}] * 3
    assert tag_errors(_rows(*same), TAXONOMY).coder_kappa is None
    other = [{"cause_code": "POL.GAP", "cause2_code": "POL.GAP"}]
    kappa = tag_errors(_rows(*same, *other), TAXONOMY).coder_kappa
    assert kappa == Quantity(1.0)


# --- shares -----------------------------------------------------------------------------------------------------------


def test_shares_follow_the_weights_and_the_severities():
    audits = _rows(
        {"comment": "misclick", "weight": 3.0, "severity": "non_critical"},
        {"comment": "wrong queue", "weight": 1.0, "severity": "safety_critical"},
        {"label": "hate", "weight": 96.0},  # no error
    )
    rows = tag_errors(audits, TAXONOMY).to_frame().set_index("code")
    assert rows["share"].to_dict() == {"PPL.SLIP": 0.75, "PRC.ROUTE": 0.25}  # 3 and 1 of 4
    assert rows["severity_weighted_share"].to_dict() == {
        "PPL.SLIP": 3 / 28,
        "PRC.ROUTE": 25 / 28,
    }  # 3 × 1 and 1 × 25 of 28
    assert rows["cumulative"].tolist() == [0.75, 1.0]
    assert rows.loc["PRC.ROUTE", ["top_category", "owner", "controllable_by"]].tolist() == [
        "PRC",
        "workforce",
        "client",
    ]
    assert tag_errors(_rows({}), TAXONOMY).by_cause[0].severity_weighted_share is None


def test_measurement_causes_are_counted_separately_and_undetermined_errors_come_last():
    audits = _rows({"dispute": "upheld_rater"}, {"comment": "misclick"}, *({} for _ in range(8)))
    tagging = tag_errors(audits, TAXONOMY)
    assert (tagging.errors, tagging.measurement_errors, tagging.undetermined) == (10, 1, 8)
    assert tagging.measurement_share.value == pytest.approx(0.1)
    assert [cause.code for cause in tagging.by_cause] == ["MEA.GT_WRONG", "PPL.SLIP", "UNK.UNK"]
    assert [(part.name, part.errors) for part in tagging.by_owner] == [
        ("qa", 1),
        ("site_ops", 1),
        ("not determined", 8),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_policy_update_leads_the_pareto(seed):
    random = np.random.default_rng(seed)
    day = np.where(random.random(300) < 0.6, random.uniform(20, 30, 300), random.uniform(0, 20, 300))
    times = START + pd.to_timedelta(day, unit="D")
    audits = _rows(*({"decided_at": time, "rater": f"r{random.integers(20)}"} for time in times))
    tagging = tag_errors(audits, TAXONOMY, events=_events(start=START + pd.Timedelta(days=20)))
    planted = int((day >= 20).sum())
    assert (tagging.by_cause[0].code, tagging.by_cause[0].errors) == ("TRN.UPD", planted)
    assert tagging.by_cause[0].share.value == pytest.approx(planted / 300)
    finding = next(finding for finding in tagging.findings() if finding.kind == "why")
    assert finding.grade == "possible"  # a rule's hint is no proof


def test_no_cause_is_reported_where_no_source_gives_one():
    tagging = tag_errors(_rows(*({} for _ in range(50)), comment="a slur"), TAXONOMY)
    assert tagging.undetermined == 50
    assert [finding.kind for finding in tagging.findings()] == ["what"]
    assert "50 without a cause" in tagging.summary()


def test_a_leading_error_type_is_rarely_shown_where_both_are_as_frequent(write):
    # Separate 95 % intervals around two complementary shares: far fewer than 5 % false alarms are promised.
    taxonomy, random, alarms = _no_rules(write), np.random.default_rng(1), 0
    for _ in range(60):
        over = random.random(150) < 0.5
        labels = pd.DataFrame({"label": np.where(over, "hate", "benign"), "truth": np.where(over, "benign", "hate")})
        labels["rater"], labels["audit_id"] = random.integers(0, 30, 150).astype(str), [f"a{i:03}" for i in range(150)]
        alarms += tag_errors(labels, taxonomy).findings()[0].grade == "shown"
    assert alarms <= 7  # P(more | 5 %) = 1 %


def test_causes_are_likely_where_people_coded_most_of_them_and_agree():
    coded = [{"cause_code": "PPL.KNOW", "cause2_code": "PPL.KNOW"}] * 6 + [
        {"cause_code": "POL.GAP", "cause2_code": "POL.GAP"}
    ] * 3
    grades = {finding.kind: finding.grade for finding in tag_errors(_rows(*coded), TAXONOMY).findings()}
    assert grades == {"what": "shown", "why": "likely", "owner": "likely"}
    split = [
        {"cause_code": "PPL.KNOW", "cause2_code": "POL.GAP"},
        {"cause_code": "POL.GAP", "cause2_code": "PPL.KNOW"},
    ] * 4
    grades = {finding.kind: finding.grade for finding in tag_errors(_rows(*split), TAXONOMY).findings()}
    assert grades["why"] == "possible"


def _mixed():
    rows = [{"comment": "misclick"}, {"dispute": "upheld_rater"}, {"tenure_days": 4}, {"cause_code": "POL.GAP"}, {}]
    rows = [{**row, "rater": f"r{index % 7}", "weight": 1 + index % 3} for index, row in enumerate(rows * 9)]
    return _rows(*rows, severity="business_critical")


def test_row_order_and_engine_do_not_change_the_result():
    audits, events = _mixed(), _events()
    tagging = tag_errors(audits, TAXONOMY, events=events)
    assert tag_errors(audits.sample(frac=1, random_state=3), TAXONOMY, events=events) == tagging
    assert tag_errors(duckdb.from_df(audits), TAXONOMY, events=events) == tagging


def test_every_path_of_a_finding_leads_to_its_estimate():
    tagging = tag_errors(_mixed(), TAXONOMY)
    kinds = [finding.kind for finding in tagging.findings()]
    assert kinds == ["what", "why", "owner", "measurement"]
    for finding in tagging.findings():
        assert eval(f"tagging.{finding.path}") == finding.estimate


# --- invalid input ----------------------------------------------------------------------------------------------------


def test_a_table_without_errors_gives_a_summary():
    tagging = tag_errors(_rows({"label": "hate"}), TAXONOMY)
    assert (tagging.errors, tagging.tags, tagging.findings()) == (0, (), ())
    assert tagging.summary() == "No errors: nothing to tag."
    assert tagging.to_frame().empty and "share" in tagging.to_frame()
    plt.close(plot_error_tagging(tagging).figure)


def test_missing_columns_and_skipped_rules_are_reported():
    with pytest.raises(DataError, match="no column 'audit_id'"):
        tag_errors(_rows({}).drop(columns="audit_id"), TAXONOMY)
    bare = tag_errors(_rows({})[["audit_id", "label", "truth"]], TAXONOMY)
    assert "first month of the rater: no column tenure_days" in bare.not_available
    assert "comment tells of a slip: no column comment" in bare.not_available
    assert "outage: no events were given" in tag_errors(_rows({}), TAXONOMY).not_available


def test_comments_may_be_hostile_long_and_in_any_script(write):
    text = DEFAULT_TAXONOMY.read_text(encoding="utf-8").replace("'\\bmis-?click'", "'(a+)+$', 'ПРОМАХ', \"it's\"")
    hostile = [
        "a" * 1_999 + "!",
        "промах",
        "x" * 1_000_000 + "it's",
        "<script>'; drop table x; --",
        "\ud800 it's",
        "\x00",
        7,
    ]
    tags = tag_errors(_rows(*({"comment": comment} for comment in hostile)), read_taxonomy(write(text))).tags
    # A run-away pattern ends, case folds in Cyrillic, only 2,000 characters are read, a quote is only a quote.
    assert [tag.cause == "PPL.SLIP" for tag in tags] == [False, True, False, False, True, False, False]


# --- the chart --------------------------------------------------------------------------------------------------------


def test_the_chart_hatches_measurement_causes_and_states_the_answer():
    tagging = tag_errors(_mixed(), TAXONOMY)
    ax = plot_error_tagging(tagging)
    hatched = [bool(bar.get_hatch()) for bar in ax.patches]
    assert hatched == [cause.measurement for cause in tagging.by_cause]
    assert [bar.get_height() for bar in ax.patches] == [cause.share.value for cause in tagging.by_cause]
    assert ax.get_title(loc="left").replace("\n", " ") == tagging.findings()[1].sentence
    assert ax.lines[-1].get_ydata()[-1] == pytest.approx(1.0)
    assert len({to_hex(bar.get_facecolor()) for bar in ax.patches}) == 1  # told apart by hatching, not by colour
    plt.close(ax.figure)


def test_an_error_whose_dispute_the_rater_won_is_a_measurement_error():
    won = {"dispute": "upheld_rater"}
    rows = _rows({**won, "cause_code": "PPL.KNOW"}, {**won, "cause_code": "MEA.GT_AMBIG"}, won, {"dispute": "pending"})
    tagging = tag_errors(rows, TAXONOMY)
    assert [tag.measurement for tag in tagging.tags] == [True, True, True, False]
    assert [tag.source for tag in tagging.tags][:3] == ["rule:dispute upheld", "person", "rule:dispute upheld"]
    assert (tagging.disputes_won, tagging.measurement_errors, len(tagging.excluded)) == (3, 3, 3)
