"""Coefficients of agreement against published numbers and printouts of other packages."""

import numpy as np
import pytest
from scipy import sparse, stats

from rca_lib.stats.agreement import agreement_weights, estimate_agreement, estimate_cohen_kappa

# Krippendorff's twelve units judged by four (irrCAC: cac.raw4raters); 0 is no rating.
UNITS = ("1101", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "0555", "0011", "0030")


def count_ratings(ratings, labels):
    """Count how often each item (a word of labels) was given each label."""
    return sparse.csr_array([[row.count(label) for label in labels] for row in ratings], dtype=float)


def expand_table(table):
    """Return the ratings of both raters, one row per item, from their contingency table."""
    first, second = np.nonzero(np.array(table))
    frequency = np.array(table)[first, second]
    labels = np.eye(len(table))
    return sparse.csr_array(labels[np.repeat(first, frequency)]), sparse.csr_array(labels[np.repeat(second, frequency)])


def test_cohens_kappa_and_its_standard_error_agree_with_the_sas_printout():
    # SAS, as quoted in the tests of statsmodels: .4842, ASE .1380, .2137 to .7547; linear weights .4701, .1845 to .7558
    first, second = expand_table([[0, 4, 1], [0, 8, 0], [0, 1, 5]])
    plain = estimate_cohen_kappa(first, second)
    assert (plain.value, plain.standard_error) == pytest.approx((0.4842, 0.1380), abs=5e-5)
    linear = estimate_cohen_kappa(first, second, agreement_weights(np.arange(3.0), "linear"))
    margin = 1.959964 * linear.standard_error
    assert (linear.value - margin, linear.value, linear.value + margin) == pytest.approx(
        (0.1845, 0.4701, 0.7558), abs=5e-5
    )


def test_coefficients_of_two_raters_agree_with_irrcac():
    # irrCAC overview, cont3x3abstractors. Its functions for tables divide by n, those for ratings (as here) by n − 1.
    first, second = expand_table([[13, 0, 0], [0, 20, 7], [0, 4, 56]])
    counts = first + second
    table_factor = np.sqrt(99 / 100)
    cohen = estimate_cohen_kappa(first, second)
    gwet = estimate_agreement(counts, "ac")
    assert (cohen.value, cohen.standard_error) == pytest.approx((0.7964094, 0.05891), abs=5e-6)
    assert (gwet.value, gwet.standard_error * table_factor) == pytest.approx((0.8493305, 0.04321747), abs=5e-8)
    assert estimate_agreement(counts, "fleiss").value == pytest.approx(0.7962397, abs=5e-8)  # Scott's pi for two
    assert estimate_agreement(counts, "alpha").value == pytest.approx(0.7972585, abs=5e-8)
    assert estimate_agreement(counts, "fleiss").observed_agreement == pytest.approx(0.89)


@pytest.mark.parametrize(
    ("kind", "value", "error"), [("ac", 0.77544, 0.14295), ("fleiss", 0.76117, 0.15302), ("alpha", 0.74342, 0.14557)]
)
def test_coefficients_of_four_raters_with_missing_ratings_agree_with_irrcac(kind, value, error):
    # irrCAC overview, cac.raw4raters
    coefficient = estimate_agreement(count_ratings(UNITS, "12345"), kind)
    assert (coefficient.value, coefficient.standard_error) == pytest.approx((value, error), abs=5e-6)


def test_observed_agreement_with_missing_ratings_agrees_with_irrcac():
    assert estimate_agreement(count_ratings(UNITS, "12345"), "fleiss").observed_agreement == pytest.approx(
        0.8181818, abs=5e-8
    )


@pytest.mark.parametrize(("kind", "alpha"), [("quadratic", 0.8491), ("ratio", 0.7974)])
def test_alpha_of_numeric_ratings_agrees_with_krippendorffs_example(kind, alpha):
    # printed .849, .797; the fourth digit from the package krippendorff; the other scales are in test_reliability
    coefficient = estimate_agreement(
        count_ratings(UNITS, "12345"), "alpha", agreement_weights(np.arange(1.0, 6.0), kind)
    )
    assert coefficient.value == pytest.approx(alpha, abs=5e-5)


def test_fleiss_kappa_agrees_with_a_published_worked_example():
    # Wikipedia, Fleiss' kappa: 10 items, 14 raters, 5 categories: .210
    rows = "0 0 0 0 14|0 2 6 4 2|0 0 3 5 6|0 3 9 2 0|2 2 8 1 1|7 7 0 0 0|3 2 6 3 0|2 5 3 2 2|6 5 2 1 0|0 2 2 3 7"
    counts = sparse.csr_array([[float(cell) for cell in row.split()] for row in rows.split("|")])
    assert estimate_agreement(counts, "fleiss").value == pytest.approx(0.210, abs=5e-4)


def test_quadratic_weights_of_two_equidistant_categories_are_the_unweighted_coefficient():
    counts = count_ratings(["11", "12", "22", "22", "11", "21"], "12")
    weighted = estimate_agreement(counts, "ac", agreement_weights(np.arange(2.0), "quadratic"))
    assert weighted.value == pytest.approx(estimate_agreement(counts, "ac").value)


def test_ac2_agrees_with_its_formula_computed_by_hand():
    # Two raters, 1-1, 1-2, 2-3, 3-3 with linear weights (1, ½, 0): observed (1 + ½ + ½ + 1)/4 = .75. Shares 3/8, 2/8,
    # 3/8: Σπ(1−π) = .65625; Σw = 5; chance 5/(3·2)·.65625 = .546875; (.75 − .546875)/(1 − .546875) = .448276.
    coefficient = estimate_agreement(
        count_ratings(["11", "12", "23", "33"], "123"), "ac", agreement_weights(np.arange(3.0), "linear")
    )
    assert (coefficient.observed_agreement, coefficient.expected_agreement, coefficient.value) == pytest.approx(
        (0.75, 0.546875, 0.448276), abs=5e-7
    )


def test_the_coefficient_is_undefined_for_a_single_category():
    single_category = count_ratings(["11", "11", "11"], "12")
    assert estimate_agreement(single_category, "fleiss") is None
    assert estimate_agreement(single_category, "alpha") is None
    assert estimate_agreement(count_ratings(["11", "11"], "1"), "ac") is None
    assert estimate_cohen_kappa(single_category, single_category) is None


def test_linearised_standard_errors_agree_with_the_jackknife():
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 300)
    labels = np.where(rng.random((300, 3)) < 0.7, truth[:, None], rng.integers(0, 3, (300, 3)))
    counts = np.stack([(labels == label).sum(axis=1) for label in range(3)], axis=1).astype(float)
    for kind in ("ac", "fleiss", "alpha"):
        leave_one_out = [
            estimate_agreement(sparse.csr_array(np.delete(counts, row, axis=0)), kind).value for row in range(300)
        ]
        jackknife = np.sqrt(299 / 300 * ((leave_one_out - np.mean(leave_one_out)) ** 2).sum())
        assert estimate_agreement(sparse.csr_array(counts), kind).standard_error == pytest.approx(jackknife, rel=0.02)


# The data sets of irrCAC (Gwet 2014; Fleiss 1971): a word per item, a letter per rater; a dot is no rating. Of 4cat and
# 6raters only how often each label was given is published.
DATA_SETS = {
    "4raters": (" ".join(UNITS), "12345"),
    "5observers": ("112.2 1101. 2333. .00.0 000.0 000.0 102.1 1.20. 222.2 2111. .100. 0000. 1222. 33223 111.1", "0123"),
    "ben_gerry": ("ab aa bb bb db cc cc cc ee d. dd ad", "abcde"),
    "g1g2": ("aa.a bbcb cccc cccc bbbb abcd dddd aaba bbbb .eee ..aa ..c. bbcb bacb", "abcde"),
    "gender": ("aaac aabc aabc aacc abaa baaa bbbb bcbb cccc aaac aabc aabc aacc abaa baaa", "abc"),
    "4cat": ("aaac aabc aabc aacc aaab aaab bbbb bbbc cccc aaab bbbb bbbc bbcc cccc aaab", "abc"),
    "6raters": (
        "dddddd bbbeee bcccce eeeeee bbbddd aacccc ccccee aacccd "
        "aadddd eeeeee addddd abdddd bbbccc addddd bbddde",
        "abcde",
    ),
}  # fmt: skip
TABLES = {
    "3x3": [[13, 0, 0], [0, 20, 7], [0, 4, 56]],
    "4x4": [[40, 4, 4, 17], [6, 25, 2, 13], [4, 1, 21, 12], [15, 5, 9, 45]],
}

# Printed by the Python package irrCAC 0.4.4 (with scipy 1.12), which agrees with the overview of the R package on
# 4raters and 3x3: for gwet, fleiss and krippendorff the coefficient, its error, the lower end of the 95 % interval.
PRINTED_FOR_RATINGS = """
4raters identity .77544 .14295 .46081  .76117 .15302 .42438  .74342 .14557 .41906
4raters linear .85874 .11733 .60050  .81795 .14850 .49109  .80038 .13548 .49852
4raters quadratic .91400 .10396 .68518  .86494 .14603 .54352  .84911 .12913 .56139
4raters ordinal .89894 .10690 .66365  .85021 .14704 .52658  .83364 .13107 .54159
4raters radical .81981 .12836 .53730  .78992 .15004 .45970  .77198 .13961 .46091
4raters ratio .85737 .12207 .58869  .82134 .15239 .48594  .79740 .14048 .48439
4raters circular .83020 .13265 .53823  .80720 .14894 .47938  .78998 .14101 .47579
4raters bipolar .90037 .10582 .66747  .85307 .14463 .53474  .83499 .12813 .54949
5observers identity .49662 .12197 .23502  .45762 .12045 .19928  .48053 .11351 .23708
5observers linear .68964 .08769 .50156  .61185 .10974 .37648  .63521 .10004 .42063
5observers quadratic .83043 .05825 .70551  .75072 .09732 .54199  .77187 .08608 .58724
5observers ordinal .78534 .06819 .63909  .70122 .10297 .48037  .72348 .09225 .52561
5observers radical .59703 .10472 .37243  .53404 .11454 .28837  .55748 .10606 .33000
5observers circular .60397 .10858 .37109  .55759 .11373 .31367  .58080 .10408 .35757
5observers bipolar .79218 .06784 .64669  .71029 .09797 .50016  .73159 .08676 .54551
ben_gerry identity .66144 .18396 .25654  .64935 .19130 .22831  .66489 .18007 .26367
ben_gerry linear .67273 .19576 .24187  .59926 .23453 .08306  .61585 .23106 .10101
ben_gerry quadratic .70629 .20690 .25090  .56775 .30044 -.09351  .58708 .30374 -.08970
ben_gerry ordinal .69697 .20253 .25121  .57771 .27711 -.03221  .59615 .27822 -.02376
ben_gerry radical .66394 .18766 .25090  .62330 .20734 .16695  .63923 .19976 .19414
ben_gerry ratio .61209 .25280 .05567  .49423 .30499 -.17705  .52298 .29874 -.14265
ben_gerry circular .61688 .22076 .13098  .59054 .23081 .08253  .60362 .22856 .09436
ben_gerry bipolar .70189 .19752 .26716  .57064 .28185 -.04971  .59413 .27985 -.02941
g1g2 identity .68460 .13353 .39612  .65724 .14992 .33337  .63181 .14970 .30564
g1g2 linear .81745 .10098 .59930  .74424 .14648 .42780  .71923 .14176 .41036
g1g2 quadratic .90073 .08743 .71186  .82012 .14326 .51063  .79810 .13561 .50263
g1g2 ordinal .87836 .09015 .68361  .79568 .14503 .48236  .77231 .13807 .47147
g1g2 radical .75612 .11433 .50913  .70056 .14766 .38155  .67492 .14505 .35889
g1g2 ratio .82542 .10629 .59579  .75432 .15165 .42671  .72155 .14700 .40127
g1g2 circular .77719 .11634 .52585  .73129 .14387 .42047  .70738 .14331 .39514
g1g2 bipolar .88166 .09000 .68722  .80167 .14343 .49181  .77653 .13617 .47985
gender identity .20808 .09070 .01355  .12889 .14050 -.17246  .14341 .14050 -.15794
gender linear .17681 .11191 -.06320  .09841 .14600 -.21472  .11344 .14600 -.19970
gender quadratic .14815 .15555 -.18547  .07071 .17100 -.29605  .08619 .17100 -.28056
gender ordinal .15932 .13691 -.13432  .08148 .15932 -.26022  .09679 .15932 -.24491
gender radical .19256 .09634 -.01408  .11373 .14012 -.18681  .12850 .14012 -.17204
gender ratio .10360 .13072 -.17677  .06680 .14765 -.24989  .08235 .14765 -.23434
gender circular .20808 .09070 .01355  .12889 .14050 -.17246  .14341 .14050 -.15794
gender bipolar .15932 .13691 -.13432  .08148 .15932 -.26022  .09679 .15932 -.24491
4cat identity .35189 .11260 .11039  .34619 .11767 .09380  .35708 .11767 .10470
4cat linear .37952 .12988 .10097  .35484 .13014 .07572  .36559 .13014 .08647
4cat quadratic .40692 .16694 .04887  .36396 .16395 .01232  .37456 .16395 .02292
4cat ordinal .39599 .15057 .07306  .36025 .14839 .04199  .37091 .14839 .05266
4cat radical .36533 .11765 .11300  .35033 .12061 .09164  .36116 .12061 .10247
4cat ratio .38227 .16064 .03772  .35609 .13613 .06412  .36682 .13613 .07485
4cat circular .35189 .11260 .11039  .34619 .11767 .09380  .35708 .11767 .10470
4cat bipolar .39599 .15057 .07306  .36025 .14839 .04199  .37091 .14839 .05266
6raters identity .44480 .08419 .26424  .41393 .08119 .23978  .42044 .08119 .24630
6raters linear .43081 .09604 .22483  .29602 .11044 .05915  .30384 .11044 .06697
6raters quadratic .48374 .10582 .25678  .25119 .14574 -.06139  .25951 .14574 -.05307
6raters ordinal .46924 .10265 .24908  .26494 .13397 -.02240  .27311 .13397 -.01423
6raters radical .42833 .08907 .23730  .34853 .09342 .14816  .35576 .09342 .15540
6raters ratio .43525 .11898 .18007  .12628 .10161 -.09166  .13599 .10161 -.08195
6raters circular .31107 .11168 .07154  .22941 .10885 -.00405  .23797 .10885 .00451
6raters bipolar .48019 .10273 .25985  .27417 .14393 -.03453  .28223 .14393 -.02646
"""

# The same of its tables, for gwet, scott, krippendorff and cohen
PRINTED_FOR_TABLES = """
3x3 identity .84933 .04322 .76358  .79624 .05906 .67906  .79726 .05906 .68008  .79641 .05891 .67952
3x3 linear .90002 .02928 .84193  .84280 .04796 .74764  .84359 .04796 .74842  .84290 .04787 .74791
3x3 quadratic .94024 .01792 .90468  .89211 .03540 .82188  .89265 .03540 .82242  .89216 .03535 .82201
3x3 ordinal .92519 .02222 .88111  .87204 .04068 .79131  .87268 .04068 .79195  .87211 .04063 .79150
3x3 radical .87548 .03605 .80395  .81851 .05377 .71181  .81941 .05377 .71272  .81864 .05366 .71218
3x3 ratio .96325 .01095 .94152  .92653 .02529 .87634  .92690 .02529 .87671  .92655 .02527 .87640
3x3 circular .84933 .04322 .76358  .79624 .05906 .67906  .79726 .05906 .68008  .79641 .05891 .67952
3x3 bipolar .92519 .02222 .88111  .87204 .04068 .79131  .87268 .04068 .79195  .87211 .04063 .79150
4x4 identity .45616 .04345 .37053  .43034 .04623 .33923  .43162 .04623 .34051  .43150 .04597 .34091
4x4 linear .37707 .05606 .26658  .40555 .05367 .29979  .40688 .05367 .30112  .40681 .05339 .30160
4x4 quadratic .29857 .07518 .15042  .38203 .06606 .25185  .38342 .06606 .25323  .38319 .06580 .25352
4x4 ordinal .32407 .06851 .18906  .38926 .06180 .26747  .39063 .06180 .26884  .39045 .06154 .26918
4x4 radical .41787 .04818 .32291  .41819 .04861 .32238  .41949 .04861 .32369  .41942 .04834 .32417
4x4 ratio .35865 .06986 .22097  .41249 .06349 .28737  .41381 .06349 .28869  .41319 .06334 .28836
4x4 circular .48844 .04548 .39881  .44421 .04936 .34692  .44545 .04936 .34817  .44590 .04888 .34957
4x4 bipolar .31524 .06817 .18091  .38571 .06110 .26529  .38709 .06110 .26667  .38693 .06084 .26703
"""


def compute_weights(kind, values):
    """Return the weights of Gwet 2014; those the module does not offer are computed here."""
    if kind in ("linear", "quadratic", "ratio"):
        return agreement_weights(values, kind)
    ranks = np.arange(len(values))
    rank_distance = np.abs(ranks[:, None] - ranks)
    value_distance = np.abs(values[:, None] - values)
    sums = values[:, None] + values
    bipolar_range = np.maximum((sums - 2 * values.min()) * (2 * values.max() - sums), 1)
    distance = {
        "identity": (value_distance > 0).astype(float),
        "ordinal": rank_distance * (rank_distance + 1) / 2,
        "radical": np.sqrt(value_distance),
        "circular": np.sin(np.pi * value_distance / (np.ptp(values) + 1)) ** 2,
        "bipolar": value_distance**2 / bipolar_range,
    }[kind]
    return 1 - distance / distance.max()


def list_printed_numbers(coefficient, table_factor=1.0, items=None):
    """Return the coefficient, its standard error and the lower limit, as irrCAC prints them."""
    standard_error = coefficient.standard_error * table_factor
    margin = stats.t.ppf(0.975, (items or coefficient.items) - 1) * standard_error
    return coefficient.value, standard_error, coefficient.value - margin


@pytest.mark.parametrize("line", PRINTED_FOR_RATINGS.strip().splitlines(), ids=lambda line: "_".join(line.split()[:2]))
def test_coefficients_of_ratings_agree_with_irrcac_for_every_kind_of_weights(line):
    name, kind, *printed = line.split()
    rows, labels = DATA_SETS[name]
    values = np.array([float(label) if label.isdigit() else ord(label) - 96.0 for label in labels])
    weights = compute_weights(kind, values) if kind != "identity" else None
    counts = count_ratings(rows.split(), labels)
    coefficients = [estimate_agreement(counts, name, weights) for name in ("ac", "fleiss", "alpha")]
    numbers = [number for coefficient in coefficients for number in list_printed_numbers(coefficient)]
    assert numbers == pytest.approx([*map(float, printed)], abs=6e-6)


@pytest.mark.parametrize("line", PRINTED_FOR_TABLES.strip().splitlines(), ids=lambda line: "_".join(line.split()[:2]))
def test_coefficients_of_tables_agree_with_irrcac_for_every_kind_of_weights(line):
    name, kind, *printed = line.split()
    first, second = expand_table(TABLES[name])
    items = first.shape[0]
    weights = compute_weights(kind, np.arange(1.0, len(TABLES[name]) + 1))
    table_factor = np.sqrt((items - 1) / items)
    coefficients = [estimate_agreement(first + second, name, weights) for name in ("ac", "fleiss", "alpha")]
    numbers = [
        number for coefficient in coefficients for number in list_printed_numbers(coefficient, table_factor, items)
    ]
    numbers += list_printed_numbers(estimate_cohen_kappa(first, second, weights))
    assert numbers == pytest.approx([*map(float, printed)], abs=6e-6)
