"""Agreement: published coefficients and intervals, roles, slices, and invalid ratings."""

import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rca_lib.audits.ratings import convert_to_ratings
from rca_lib.findings import DataError
from rca_lib.questions.agreement import measure_agreement
from rca_lib.reporting.plots.agreement import plot_agreement
from rca_lib.stats.proportions import wilson_interval

LABELS = ["benign", "hate", "spam"]


def simulate(seed, *, items=400, raters=3, right=0.8):
    """Ratings of `raters` who each see the truth with probability `right` and guess otherwise."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, items)
    seen = rng.random((items, raters)) < right
    codes = np.where(seen, truth[:, None], rng.integers(0, 3, (items, raters)))
    item, rater = (grid.ravel() for grid in np.indices(codes.shape))
    names = {"item_id": [f"i{number}" for number in item], "rater": [f"r{number}" for number in rater]}
    return pd.DataFrame({**names, "label": np.array(LABELS)[codes.ravel()]})


def ratings(*rows, **columns):
    """Ratings from strings, one per item, a letter per rater; a dot is no rating."""
    cells = [(f"i{item}", f"r{rater}", label) for item, row in enumerate(rows) for rater, label in enumerate(row)]
    frame = pd.DataFrame([cell for cell in cells if cell[2] != "."], columns=["item_id", "rater", "label"])
    return frame.assign(**columns)


# Krippendorff's twelve units
UNITS = ("11.1", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", ".555", "..11", "..3.")


@pytest.mark.parametrize(
    ("scale", "alpha"), [("nominal", 0.7434), ("ordinal", 0.8154), ("interval", 0.8491), ("ratio", 0.7974)]
)
def test_alpha_on_every_scale_agrees_with_krippendorffs_example(scale, alpha):
    # printed .743, .815, .849, .797; the fourth digit from the package krippendorff
    agreement = measure_agreement(ratings(*UNITS), scale=scale)
    assert agreement.krippendorff_alpha.value == pytest.approx(alpha, abs=5e-5)


def test_intervals_agree_with_krippendorffs_example():
    # numbers of irrCAC (cac.raw4raters), interval with t of 11 − 1 items
    agreement = measure_agreement(ratings(*UNITS))
    assert (agreement.items, agreement.rated_once, agreement.raters, agreement.cohen_kappa) == (11, 1, 4, None)
    assert agreement.percent_agreement.value == pytest.approx(0.8181818, abs=5e-8)
    assert agreement.krippendorff_alpha.low == pytest.approx(0.74342 - 2.228139 * 0.14557, abs=2e-5)
    assert agreement.krippendorff_alpha.high == 1.0


GENDER = "aaac aabc aabc aacc abaa baaa bbbb bcbb cccc aaac aabc aabc aacc abaa baaa"
OBSERVERS = "112.2 1101. 2333. .00.0 000.0 000.0 102.1 1.20. 222.2 2111. .100. 0000. 1222. 33223 111.1"


@pytest.mark.parametrize(
    ("rows", "ac1", "fleiss", "alpha", "ac2"),
    [
        (GENDER, (0.01356, 0.40261), (-0.17246, 0.43023), (-0.15794, 0.44475), (-0.06320, 0.41682)),
        (OBSERVERS, (0.23502, 0.75823), (0.19928, 0.71596), (0.23708, 0.72398), (0.50156, 0.87772)),
    ],
)
def test_intervals_agree_with_irrcac(rows, ac1, fleiss, alpha, ac2):
    # printed by irrCAC 0.4.4 for raw_gender and raw_5observers, ac2 with linear weights; alpha's there are nominal too
    agreement = measure_agreement(ratings(*rows.split()))
    ordered = measure_agreement(ratings(*rows.split()), scale="ordinal", categories=sorted(set(rows) - set(" .")))
    pairs = [
        (agreement.gwet_ac1, ac1),
        (agreement.fleiss_kappa, fleiss),
        (agreement.krippendorff_alpha, alpha),
        (ordered.gwet_ac2, ac2),
    ]
    for estimate, limits in pairs:
        assert (estimate.low, estimate.high) == pytest.approx(limits, abs=1e-5)


@pytest.mark.parametrize("right", [0.0, 0.5, 0.8])
def test_agreement_beyond_chance_is_the_share_that_both_raters_see(right):
    # Who sees the truth with probability p and guesses evenly otherwise agrees beyond chance by p².
    covered = 0
    for seed in range(40):
        agreement = measure_agreement(simulate(seed, right=right))
        estimates = (agreement.krippendorff_alpha, agreement.fleiss_kappa, agreement.gwet_ac1)
        covered += all(estimate.low <= right**2 <= estimate.high for estimate in estimates)
    assert covered >= 33  # 38 expected; fewer than 33 has a probability of .003


def test_guessing_is_rarely_shown_to_agree():
    grades = [measure_agreement(simulate(seed, right=0.0)).findings()[0].grade for seed in range(100)]
    assert grades.count("shown") <= 7  # 2.5 expected above chance; more than 7 has a probability of .004


def test_two_raters_who_judged_everything_get_cohens_kappa():
    agreement = measure_agreement(ratings(*["aa"] * 20, *["ab"] * 5, *["ba"] * 10, *["bb"] * 15))
    # Cohen 1960 by hand: observed 35/50, chance .5·.6 + .5·.4 = .5, kappa .4
    assert agreement.cohen_kappa.value == pytest.approx(0.4)
    assert measure_agreement(ratings("aa", "bb", "ab", "a.")).cohen_kappa is None


def test_row_order_and_engine_do_not_change_the_result():
    frame = simulate(1, raters=4)
    expected = measure_agreement(frame, scale="ordinal", categories=LABELS)
    shuffled = frame.sample(frac=1, random_state=3)
    assert measure_agreement(shuffled, scale="ordinal", categories=LABELS) == expected
    assert measure_agreement(duckdb.from_df(shuffled), scale="ordinal", categories=LABELS) == expected


def test_ac2_credits_near_labels_where_there_is_an_order():
    near = ratings(*["12"] * 10, *["11"] * 10, *["55"] * 10)
    assert measure_agreement(near).gwet_ac2 is None
    ordered = measure_agreement(near, scale="ordinal", categories=list("12345"))
    assert ordered.gwet_ac2.value > ordered.gwet_ac1.value


def test_audits_become_ratings_of_raters_and_auditors():
    audits = pd.DataFrame(
        {
            "item_id": ["i1", "i1", "i1", "i2"],
            "rater": ["a", "b", "a", "a"],
            "label": ["ok", "bad", "ok", "ok"],
            "truth": ["ok", "ok", "bad", "ok"],
            "auditor": ["x", "x", "y", None],
            "audit_round": [1, 1, 2, 1],
            "stream": ["random"] * 4,
        }
    )
    agreement = convert_to_ratings(audits)
    rows = set(agreement[["item_id", "rater", "label", "role", "trial"]].itertuples(index=False, name=None))
    assert rows == {
        ("i1", "a", "ok", "rater", 1),
        ("i1", "b", "bad", "rater", 1),
        ("i2", "a", "ok", "rater", 1),
        ("i1", "x", "ok", "auditor", 1),  # once, although it judged two decisions
        ("i1", "y", "bad", "auditor", 1),  # the audit of the audit
        ("i2", "audit 1", "ok", "auditor", 1),
    }
    hunted = audits.assign(stream=["random", "targeted", "random", "random"])
    assert "b" not in set(convert_to_ratings(hunted)["rater"])


def test_roles_are_compared_with_themselves_and_each_other():
    rng = np.random.default_rng(2)
    wrong = rng.random(500) < 0.1
    truth = rng.choice(["ok", "bad"], 500)
    label = np.where(wrong, np.where(truth == "ok", "bad", "ok"), truth)
    audits = pd.DataFrame({"item_id": [f"i{n}" for n in range(500)], "rater": "a", "label": label, "truth": truth})
    agreement = measure_agreement(convert_to_ratings(audits))
    (role,) = agreement.by_role
    assert (role.first, role.second, role.items) == ("rater", "auditor", 500)
    assert role.percent_agreement.value == pytest.approx(1 - wrong.mean())
    limits = (role.percent_agreement.low, role.percent_agreement.high)
    assert limits == pytest.approx(wilson_interval(500 - wrong.sum(), 500))


def test_coefficients_are_reported_as_undefined_where_all_ratings_are_one_label():
    agreement = measure_agreement(ratings("aa", "aa", "aa"))
    assert (agreement.krippendorff_alpha, agreement.fleiss_kappa, agreement.gwet_ac1) == (None, None, None)
    assert agreement.percent_agreement.value == 1
    assert agreement.percent_agreement.low == pytest.approx(wilson_interval(3, 3)[0])
    assert "undefined" in agreement.summary()
    assert any("all ratings are one label" in sentence for sentence in agreement.not_available)
    assert agreement.findings()[0].grade == "not proven"


def test_full_agreement_on_several_labels_is_one_with_an_interval():
    agreement = measure_agreement(ratings("aa", "bb", "aa", "bb"))
    assert agreement.krippendorff_alpha.value == pytest.approx(1)
    assert agreement.krippendorff_alpha.low < 0.5


def test_full_disagreement_gives_a_result():
    agreement = measure_agreement(ratings("ab", "ab", "ab", "ab"))
    assert agreement.percent_agreement.value == 0
    assert agreement.fleiss_kappa.value == pytest.approx(-1)
    assert agreement.fleiss_kappa.high > agreement.fleiss_kappa.value


@pytest.mark.parametrize(
    ("frame", "options", "problem"),
    [
        (ratings("a", "b"), {}, "no item was judged by two raters"),
        (ratings("a.", ".b"), {}, "no item was judged by two raters"),
        (pd.concat([ratings("aa", "ab"), ratings("b")]), {}, "judged an item twice"),
        (ratings("aa", "ax"), {"categories": ["a", "b"]}, "off the scale"),
        (ratings("12", "1x"), {"scale": "interval"}, "are words"),
        (ratings("ab", "bb"), {"scale": "ordinal"}, "are words"),
        (
            ratings("12", "11").assign(label=[1, np.inf, 1, 1]),
            {"scale": "interval"},
            "too large to be exact .*1 row; first: item_id=i0",
        ),
        (
            ratings("12", "11").assign(label=["1", "1.0", "2", "1"]),
            {"scale": "interval"},
            "one number in two ways .*3 rows",
        ),
        (ratings("12", "11").assign(label=[1, -1, 1, 1]), {"scale": "ratio"}, "are below 0 .*1 row"),
        (ratings("aa", "ab").drop(columns="rater"), {}, "no column 'rater'"),
        (ratings("aa", "ab", policy="p"), {"by": ["policy", "unknown"]}, "no column 'unknown'.*policy"),
        (ratings("aa", "ab").assign(item_id=["i0", None, "i1", "i1"]), {}, "item_id is missing"),
    ],
)
def test_invalid_ratings_are_reported(frame, options, problem):
    with pytest.raises(DataError, match=problem) as caught:
        measure_agreement(frame, **options)
    assert "Hint:" in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"level": 95}, {"level": 0}, {"level": np.nan}, {"scale": "cardinal"}, {"categories": list("aba")}]
)
def test_invalid_options_are_rejected(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        measure_agreement(ratings("aa", "ab"), **options)


def test_agreement_by_a_required_column_gives_a_result():
    assert measure_agreement(ratings("aa", "ab"), by=["item_id", "rater", "label"]).slices == ()


def test_the_first_repeated_rating_is_reported():
    with pytest.raises(DataError) as caught:
        measure_agreement(pd.concat([ratings("aa", "ab"), ratings("b")]))
    assert (caught.value.rows, caught.value.first) == (1, {"item_id": "i0", "rater": "r0", "label": "b"})


def test_ratings_without_a_label_are_reported_as_left_out_but_not_later_trials():
    frame = pd.concat([ratings("aa", "ab", trial=1), ratings("bb", trial=2)])
    expected = measure_agreement(ratings("aa", "ab"))
    assert measure_agreement(frame).percent_agreement == expected.percent_agreement
    blank = pd.concat([ratings("aa", "ab"), ratings("..aa").assign(label=None, item_id="i1")])
    assert "2 ratings without a label are left out" in measure_agreement(blank).not_available


def test_every_path_leads_to_its_estimate_and_the_chart_states_the_answer():
    audits = simulate(4, raters=2)
    roles = audits.assign(role=np.where(audits["rater"] == "r0", "rater", "auditor"))
    agreement = measure_agreement(roles)
    for finding in agreement.findings():
        reached = eval(f"agreement.{finding.path}", {"agreement": agreement})
        assert reached in (finding.estimate, finding.estimate.value)
    ax = plot_agreement(agreement)
    assert ax.get_title(loc="left").replace("\n", " ") == agreement.summary()
    assert len(ax.get_yticklabels()) == len(agreement.to_frame())
    plt.close(ax.figure)
