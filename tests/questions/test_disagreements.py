import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.questions.disagreements import cluster_disagreements, fetch_examples
from rca_lib.reporting.plots.disagreements import plot_disagreements

SLUR, BLACK = "slur in the local dialect", "screen stayed black all along"


def _errors(pairs, **common):
    """The given number of errors per (policy, label, truth), spread over twenty raters."""
    rows = [
        {"policy": policy, "label": label, "truth": truth, "rater": f"r{index % 20:02}", **common}
        for (policy, label, truth), errors in pairs.items()
        for index in range(errors)
    ]
    return pd.DataFrame(rows).assign(audit_id=[f"a{index:05}" for index in range(len(rows))])


def _commented(seed, *, black=100, slur=90, other=40):
    """One large group whose comments speak of two things, with filler words, and a small one."""
    random = np.random.default_rng(seed)
    filler = ["item", "case", "seen", "again", "clear", "look", "note"]
    audits = _errors({("hate", "benign", "hate"): black + slur, ("spam", "benign", "spam"): other})
    comments = [BLACK] * black + [SLUR] * slur + [""] * other
    audits["comment"] = [" ".join([text, *random.choice(filler, 3)]) if text else text for text in comments]
    return audits.sample(frac=1, random_state=seed, ignore_index=True)


def test_clusters_are_exact_sorted_and_hold_every_error():
    audits = _errors({("hate", "benign", "hate"): 60, ("spam", "hate", "spam"): 30, ("spam", "spam", "benign"): 10})
    right = _errors({("spam", "spam", "spam"): 400}).assign(audit_id=lambda rows: "b" + rows["audit_id"])
    result = cluster_disagreements(pd.concat([audits, right]))
    assert [(cluster.id, cluster.errors) for cluster in result.clusters] == [
        ("hate: benign for hate", 60),
        ("spam: hate for spam", 30),
        ("spam: spam for benign", 10),
    ]
    assert result.errors == 100
    assert [cluster.share.value for cluster in result.clusters] == pytest.approx([0.6, 0.3, 0.1])
    assert result.clusters[0].raters == 20 and result.clusters[0].dominant_rater == ""
    assert result.text_split_note == "Not split by text: no group has 150 comments."


def test_shares_follow_the_weights():
    audits = _errors({("hate", "benign", "hate"): 1, ("spam", "benign", "spam"): 1}).assign(weight=[3.0, 1.0])
    assert [cluster.share.value for cluster in cluster_disagreements(audits).clusters] == [0.75, 0.25]


def test_a_dominant_rater_is_detected():
    audits = _errors({("hate", "benign", "hate"): 40, ("spam", "benign", "spam"): 40})
    audits.loc[:24, "rater"] = "r99"  # 25 of the 40 of the first group
    first, second = cluster_disagreements(audits).clusters
    assert (first.dominant_rater, second.dominant_rater) == ("r99", "")
    assert "One rater made most of them" in cluster_disagreements(audits).findings()[0].sentence
    assert "r99" not in cluster_disagreements(audits).summary()


@pytest.mark.parametrize("seed", range(3))
def test_a_large_group_is_split_by_its_comments(seed):
    audits = _commented(seed)
    result = cluster_disagreements(audits, seed=seed)
    # 100 and 90 errors planted; the small group stays whole.
    assert [(cluster.id, cluster.errors) for cluster in result.clusters] == [
        ("hate: benign for hate (text group 1)", 100),
        ("hate: benign for hate (text group 2)", 90),
        ("spam: benign for spam", 40),
    ]
    assert result.clusters[0].terms == ("black", "screen")
    assert result.text_split_note == "1 of 1 large group split by text."
    comments = audits.set_index("audit_id")["comment"]
    assert all(BLACK in comments[audit] for audit in result.clusters[0].examples)


@pytest.mark.parametrize("seed", range(2))
def test_no_word_of_a_comment_is_shown_unless_requested(seed):
    audits = _commented(seed)
    result = cluster_disagreements(audits, seed=seed)
    axes = plot_disagreements(result)
    drawn = [label.get_text() for label in axes.get_yticklabels()] + [axes.get_title(loc="left")]
    plt.close(axes.figure)
    texts = [result.summary(), *(finding.sentence for finding in result.findings()), repr(result), *drawn]
    texts += [result.to_frame().to_csv(), fetch_examples(audits, result).to_csv()]
    for word in ("slur", "local", "dialect", "screen", "stayed", "black"):
        assert not [text for text in texts if word in text]
    clear = fetch_examples(audits, result, masked=False)
    assert "dialect, local" in set(clear["words"]) and clear["comment"].str.contains("slur").any()


def test_a_cluster_keeps_its_id_while_it_grows():
    before, after = cluster_disagreements(_commented(7)), cluster_disagreements(_commented(8))
    grown = cluster_disagreements(_commented(9, black=300))
    ids = [cluster.id for cluster in before.clusters]
    assert ids == [cluster.id for cluster in after.clusters]
    assert ids == [cluster.id for cluster in grown.clusters]


def test_a_large_group_without_a_stable_split_stays_whole():
    random, vocabulary = np.random.default_rng(3), [f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(200)]
    audits = _errors({("hate", "benign", "hate"): 200})
    result = cluster_disagreements(audits.assign(comment=[" ".join(random.choice(vocabulary, 9)) for _ in range(200)]))
    assert [(cluster.id, cluster.errors) for cluster in result.clusters] == [("hate: benign for hate", 200)]
    assert result.text_split_note.startswith("0 of 1 large group split by text. The others have no stable")


def test_fewer_than_150_comments_are_not_split_and_errors_without_comments_are_kept():
    small = cluster_disagreements(_commented(0, black=80, slur=69))
    assert "no group has 150 comments" in small.text_split_note
    audits = _commented(0)
    silent = _errors({("hate", "benign", "hate"): 25}, comment=None).assign(audit_id=[f"z{i:02}" for i in range(25)])
    result = cluster_disagreements(pd.concat([audits, silent]))
    assert ("hate: benign for hate (no comment)", 25) in [(cluster.id, cluster.errors) for cluster in result.clusters]
    assert sum(cluster.errors for cluster in result.clusters) == result.errors == 255


def test_a_leading_cluster_is_rarely_shown_where_all_are_as_frequent():
    # Two 95% intervals must not overlap: at most 5 of 100 tables with four equal clusters are expected.
    random, alarms = np.random.default_rng(5), 0
    pairs = [
        ("hate", "benign", "hate"),
        ("hate", "hate", "benign"),
        ("spam", "benign", "spam"),
        ("spam", "spam", "benign"),
    ]
    for _ in range(100):
        sizes = np.bincount(random.integers(0, 4, 200), minlength=4)
        alarms += cluster_disagreements(_errors(dict(zip(pairs, sizes, strict=True)))).findings()[0].grade == "shown"
    assert alarms <= 11  # P(more | 5 %) = 0.4 %


def test_every_path_of_a_finding_leads_to_its_estimate_and_slice():
    result = cluster_disagreements(_errors({("hate", "benign", "hate"): 90, (None, "spam", "hate"): 10}))
    first, second = result.findings()
    assert (first.grade, dict(first.where)) == ("shown", {"policy": "hate", "label": "benign", "truth": "hate"})
    assert (second.grade, dict(second.where)) == ("possible", {"label": "spam", "truth": "hate"})
    for finding in (first, second):
        assert eval(f"result.{finding.path}") == finding.estimate


def test_row_order_and_engine_do_not_change_the_result():
    audits = _commented(2)
    result = cluster_disagreements(audits)
    assert cluster_disagreements(audits.iloc[::-1]) == result
    assert cluster_disagreements(duckdb.from_df(audits)) == result
    examples = fetch_examples(audits, result)
    pd.testing.assert_frame_equal(fetch_examples(duckdb.from_df(audits), result), examples, check_dtype=False)


def test_examples_are_masked_by_default_and_come_from_many_raters():
    audits = _errors({("hate", "benign", "hate"): 30}, comment="You are an idiot")
    audits.loc[:9, "rater"] = "r00"
    result = cluster_disagreements(audits)
    rater = audits.set_index("audit_id")["rater"]
    assert len({rater[audit] for audit in result.clusters[0].examples}) == 10
    examples = fetch_examples(audits, result, per_cluster=2)
    assert examples.to_dict("list") == {
        "cluster": ["hate: benign for hate"] * 2,
        "audit_id": list(result.clusters[0].examples[:2]),
        "label": ["benign"] * 2,
        "truth": ["hate"] * 2,
        "comment": ["[16 characters, Latin]"] * 2,
    }
    assert fetch_examples(audits, result, masked=False)["comment"][0] == "You are an idiot"
    assert "idiot" not in result.to_frame().to_csv() + str(result)


def test_audits_without_errors_give_a_summary():
    result = cluster_disagreements(_errors({("spam", "spam", "spam"): 5}))
    assert (result.errors, result.clusters, result.findings()) == (0, (), ())
    assert result.summary() == "No errors: no disagreements."
    assert result.to_frame().empty and "share" in result.to_frame()
    assert fetch_examples(_errors({("spam", "spam", "spam"): 5}), result).empty
    plt.close(plot_disagreements(result).figure)


def test_optional_columns_may_be_missing_and_required_ones_are_reported():
    audits = _errors({("hate", "benign", "hate"): 3})
    (cluster,) = cluster_disagreements(audits[["audit_id", "label", "truth"]]).clusters
    assert (cluster.id, cluster.policy, cluster.raters, cluster.dominant_rater) == ("benign for hate", "", 0, "")
    with pytest.raises(DataError, match="no column 'audit_id'"):
        cluster_disagreements(audits.drop(columns="audit_id"))


def test_hostile_comments_are_kept():
    audits = _commented(4)
    audits.loc[:4, "comment"] = ["\ud800", "x" * 1_000_000, "<script>alert(1)</script>", "=cmd()", "\x00"]
    result = cluster_disagreements(audits)
    assert sum(cluster.errors for cluster in result.clusters) == len(audits)


def test_the_chart_shows_the_intervals_and_marks_a_dominant_rater():
    audits = _errors({("hate", "benign", "hate"): 40, ("spam", "benign", "spam"): 20})
    audits.loc[audits["policy"] == "spam", "rater"] = "r99"
    result = cluster_disagreements(audits)
    ax = plot_disagreements(result)
    drawn = [segment[:, 0].tolist() for lines in ax.collections for segment in lines.get_segments()]
    assert drawn == [pytest.approx([cluster.share.low, cluster.share.high]) for cluster in result.clusters]
    assert [line.get_marker() for line in ax.lines] == ["o", "X"]
    assert ax.get_title(loc="left").replace("\n", " ") == result.findings()[0].sentence
    plt.close(ax.figure)
