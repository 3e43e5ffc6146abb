import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.questions.disagreement import cluster_disagreements, mask_text, show_examples
from rca_lib.reporting.plots.disagreement import plot_disagreement

SLUR, BLACK = "slur in the local dialect", "screen stayed black all along"


def _errors(pairs, **common):
    """So many errors per (policy, label, truth), each by another rater of twenty."""
    rows = [
        {"policy": policy, "label": label, "truth": truth, "rater": f"r{place % 20:02}", **common}
        for (policy, label, truth), errors in pairs.items()
        for place in range(errors)
    ]
    return pd.DataFrame(rows).assign(audit_id=[f"a{place:05}" for place in range(len(rows))])


def _spoken(seed, *, black=100, slur=90, other=40):
    """One large group whose comments speak of two things, with filler words, and a small one."""
    random = np.random.default_rng(seed)
    filler = ["item", "case", "seen", "again", "clear", "look", "note"]
    audits = _errors({("hate", "benign", "hate"): black + slur, ("spam", "benign", "spam"): other})
    said = [BLACK] * black + [SLUR] * slur + [""] * other
    audits["comment"] = [" ".join([text, *random.choice(filler, 3)]) if text else text for text in said]
    return audits.sample(frac=1, random_state=seed, ignore_index=True)


def test_groups_are_exact_ranked_and_hold_every_error():
    audits = _errors({("hate", "benign", "hate"): 60, ("spam", "hate", "spam"): 30, ("spam", "spam", "benign"): 10})
    right = _errors({("spam", "spam", "spam"): 400}).assign(audit_id=lambda rows: "b" + rows["audit_id"])
    found = cluster_disagreements(pd.concat([audits, right]))
    assert [(one.id, one.errors) for one in found.clusters] == [
        ("hate: benign for hate", 60),
        ("spam: hate for spam", 30),
        ("spam: spam for benign", 10),
    ]
    assert found.errors == 100
    assert [one.share.value for one in found.clusters] == pytest.approx([0.6, 0.3, 0.1])
    assert found.clusters[0].raters == 20 and found.clusters[0].carried_by == ""
    assert found.text_split == "Not split by text: no group has 150 comments."


def test_shares_follow_the_weights():
    audits = _errors({("hate", "benign", "hate"): 1, ("spam", "benign", "spam"): 1}).assign(weight=[3.0, 1.0])
    assert [one.share.value for one in cluster_disagreements(audits).clusters] == [0.75, 0.25]


def test_a_rater_who_carries_a_cluster_is_seen():
    audits = _errors({("hate", "benign", "hate"): 40, ("spam", "benign", "spam"): 40})
    audits.loc[:24, "rater"] = "r99"  # 25 of the 40 of the first group
    first, second = cluster_disagreements(audits).clusters
    assert (first.carried_by, second.carried_by) == ("r99", "")
    assert "one rater made most of them" in cluster_disagreements(audits).findings()[0].sentence
    assert "r99" not in cluster_disagreements(audits).summary()


@pytest.mark.parametrize("seed", range(3))
def test_a_large_group_is_split_by_what_the_comments_say(seed):
    audits = _spoken(seed)
    found = cluster_disagreements(audits, seed=seed)
    # 100 and 90 errors planted; the small group stays whole.
    assert [(one.id, one.errors) for one in found.clusters] == [
        ("hate: benign for hate (text group 1)", 100),
        ("hate: benign for hate (text group 2)", 90),
        ("spam: benign for spam", 40),
    ]
    assert found.clusters[0].terms == ("black", "screen")
    assert found.text_split == "1 of 1 large group split by text."
    said = audits.set_index("audit_id")["comment"]
    assert all(BLACK in said[audit] for audit in found.clusters[0].examples)


@pytest.mark.parametrize("seed", range(2))
def test_no_word_of_a_comment_stands_in_what_is_told_drawn_or_tabled_unless_asked(seed):
    audits = _spoken(seed)
    found = cluster_disagreements(audits, seed=seed)
    axes = plot_disagreement(found)
    drawn = [label.get_text() for label in axes.get_yticklabels()] + [axes.get_title(loc="left")]
    plt.close(axes.figure)
    told = [found.summary(), *(one.sentence for one in found.findings()), repr(found), *drawn]
    told += [found.to_frame().to_csv(), show_examples(audits, found).to_csv()]
    for word in ("slur", "local", "dialect", "screen", "stayed", "black"):
        assert not [text for text in told if word in text]
    clear = show_examples(audits, found, masked=False)
    assert "dialect, local" in set(clear["words"]) and clear["comment"].str.contains("slur").any()


def test_a_cluster_keeps_its_id_while_it_grows():
    before, after = (cluster_disagreements(_spoken(*args)) for args in ((7,), (8,)))
    grown = cluster_disagreements(_spoken(9, black=300))
    assert (
        [one.id for one in before.clusters] == [one.id for one in after.clusters] == [one.id for one in grown.clusters]
    )


def test_a_large_group_without_stable_parts_stays_whole():
    random, vocabulary = np.random.default_rng(3), [f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(200)]
    audits = _errors({("hate", "benign", "hate"): 200})
    found = cluster_disagreements(audits.assign(comment=[" ".join(random.choice(vocabulary, 9)) for _ in range(200)]))
    assert [(one.id, one.errors) for one in found.clusters] == [("hate: benign for hate", 200)]
    assert found.text_split.startswith("0 of 1 large group split by text. No split of the others is stable")


def test_fewer_than_150_comments_are_not_split_and_errors_without_one_are_kept():
    small = cluster_disagreements(_spoken(0, black=80, slur=69))
    assert "no group has 150 comments" in small.text_split
    audits = _spoken(0)
    silent = _errors({("hate", "benign", "hate"): 25}, comment=None).assign(audit_id=[f"z{i:02}" for i in range(25)])
    found = cluster_disagreements(pd.concat([audits, silent]))
    assert ("hate: benign for hate (no comment)", 25) in [(one.id, one.errors) for one in found.clusters]
    assert sum(one.errors for one in found.clusters) == found.errors == 255


def test_the_leading_cluster_is_rarely_shown_where_all_are_as_frequent():
    # Two 95 % intervals must lie apart: of 100 tables with four equal clusters at most 5 are to be expected.
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


def test_findings_lead_to_their_numbers_and_their_slices():
    found = cluster_disagreements(_errors({("hate", "benign", "hate"): 90, (None, "spam", "hate"): 10}))
    first, second = found.findings()
    assert (first.grade, dict(first.where)) == ("shown", {"policy": "hate", "label": "benign", "truth": "hate"})
    assert (second.grade, dict(second.where)) == ("possible", {"label": "spam", "truth": "hate"})
    for finding in (first, second):
        assert eval(f"found.{finding.path}") == finding.estimate


def test_row_order_and_engine_do_not_matter():
    audits = _spoken(2)
    found = cluster_disagreements(audits)
    assert cluster_disagreements(audits.iloc[::-1]) == found
    assert cluster_disagreements(duckdb.from_df(audits)) == found
    examples = show_examples(audits, found)
    pd.testing.assert_frame_equal(show_examples(duckdb.from_df(audits), found), examples, check_dtype=False)


def test_examples_are_masked_unless_asked_and_come_from_many_raters():
    audits = _errors({("hate", "benign", "hate"): 30}, comment="You are an idiot")
    audits.loc[:9, "rater"] = "r00"
    found = cluster_disagreements(audits)
    rater = audits.set_index("audit_id")["rater"]
    assert len({rater[audit] for audit in found.clusters[0].examples}) == 10
    examples = show_examples(audits, found, per_cluster=2)
    assert examples.to_dict("list") == {
        "cluster": ["hate: benign for hate"] * 2,
        "audit_id": list(found.clusters[0].examples[:2]),
        "label": ["benign"] * 2,
        "truth": ["hate"] * 2,
        "comment": ["[16 characters, Latin]"] * 2,
    }
    assert show_examples(audits, found, masked=False)["comment"][0] == "You are an idiot"
    assert "idiot" not in found.to_frame().to_csv() + str(found)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (None, "[no text]"),
        (float("nan"), "[no text]"),
        ("  ", "[no text]"),
        ("<b>hi</b>", "[9 characters, Latin]"),
        ("слово word словарь", "[18 characters, Cyrillic]"),
        ("视频无法播放", "[6 characters, CJK]"),
        ("\u202e\u0000secret", "[8 characters, Latin]"),  # no control or direction signs
        ("12 34", "[5 characters, no letters]"),
        ("x" * 1_000_000, "[1,000,000 characters, Latin]"),
    ],
)
def test_a_text_is_masked(text, masked):
    assert mask_text(text) == masked


def test_no_errors_is_answered_in_a_sentence():
    found = cluster_disagreements(_errors({("spam", "spam", "spam"): 5}))
    assert (found.errors, found.clusters, found.findings()) == (0, (), ())
    assert found.summary() == "No errors: nothing to disagree about."
    assert found.to_frame().empty and "share" in found.to_frame()
    assert show_examples(_errors({("spam", "spam", "spam"): 5}), found).empty
    plt.close(plot_disagreement(found).figure)


def test_columns_may_be_few_and_what_is_required_is_named():
    audits = _errors({("hate", "benign", "hate"): 3})
    (one,) = cluster_disagreements(audits[["audit_id", "label", "truth"]]).clusters
    assert (one.id, one.policy, one.raters, one.carried_by) == ("benign for hate", "", 0, "")
    with pytest.raises(DataError, match="no column 'audit_id'"):
        cluster_disagreements(audits.drop(columns="audit_id"))


def test_hostile_comments_neither_break_nor_vanish():
    audits = _spoken(4)
    audits.loc[:4, "comment"] = ["\ud800", "x" * 1_000_000, "<script>alert(1)</script>", "=cmd()", "\x00"]
    found = cluster_disagreements(audits)
    assert sum(one.errors for one in found.clusters) == len(audits)


def test_the_picture_shows_the_intervals_and_marks_one_rater():
    audits = _errors({("hate", "benign", "hate"): 40, ("spam", "benign", "spam"): 20})
    audits.loc[audits["policy"] == "spam", "rater"] = "r99"
    found = cluster_disagreements(audits)
    ax = plot_disagreement(found)
    drawn = [segment[:, 0].tolist() for lines in ax.collections for segment in lines.get_segments()]
    assert drawn == [pytest.approx([one.share.low, one.share.high]) for one in found.clusters]
    assert [line.get_marker() for line in ax.lines] == ["o", "X"]
    assert ax.get_title(loc="left").replace("\n", " ") == found.findings()[0].sentence
    plt.close(ax.figure)
