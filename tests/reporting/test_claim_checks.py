"""Claims made by others, checked against audits with known rates."""

import numpy as np
import pandas as pd
import pytest

from rca_lib.intake.ingest import ingest
from rca_lib.reporting.claim_checks import check_claims
from rca_lib.reporting.claim_files import ExternalClaim

MONTHS = ("2026-01", "2026-02")
GOLDEN_RATIO = 0.61803398875  # its multiples fill the unit interval evenly


def make_audits(site, rates, *, audits=600, streams=("random", "random"), hard=(0.0, 0.0), stale=(0.0, 0.0), seed=0):
    """Return two months of audits of a site with an exact error rate in each queue."""
    rng = np.random.default_rng(seed)
    rows = []
    for month, (name, rate) in enumerate(zip(MONTHS, rates, strict=True)):
        for number in range(audits):
            queue = "hard" if number < hard[month] * audits else "easy"
            error_rate = 0.4 if queue == "hard" else rate
            is_outdated = number % 100 < 100 * stale[month]
            is_error = is_outdated or (number * GOLDEN_RATIO) % 1 < error_rate
            rows.append({
                "audit_id": f"{site}-{name}-{number}", "item_id": f"{site}-{name}-{number}", "site": site,
                "rater": f"r{rng.integers(12)}", "decided_at": f"{name}-{number % 27 + 1:02d}T10:00:00Z",
                "label": "benign", "truth": "hate" if is_error else "benign", "queue": queue, "stream": streams[month],
                "policy": "hate" if number % 3 else "spam", "policy_version_decided": "v1",
                "policy_version_audited": "v2" if is_outdated else "v1",
            })  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    tables = [
        make_audits("steady", (0.05, 0.06)),
        make_audits("fallen", (0.05, 0.153)),
        make_audits("mixed", (0.05, 0.05), hard=(0.1, 0.5)),
        make_audits("stale", (0.05, 0.05), stale=(0.0, 0.15)),
        make_audits("switched", (0.05, 0.25), streams=("random", "targeted")),
    ]
    pd.concat(tables).to_csv(folder / "audits.csv", index=False)
    ingest(folder / "audits.csv", folder / "store")
    return folder


def check(store, metric, scope, value, *, period="2026-02", compared_with="", tolerance=""):
    claim = ExternalClaim("row 2", "", metric, scope, period, compared_with, value, tolerance)
    return check_claims([claim], store / "store").checks[0]


def compute_error_rate(store, site, month):
    audits = pd.read_csv(store / "audits.csv")
    selected = audits[(audits["site"] == site) & audits["decided_at"].str.startswith(month)]
    return float((selected["label"] != selected["truth"]).mean())


def test_an_equal_number_is_exact_and_a_rounded_one_within_rounding(store):
    rate = compute_error_rate(store, "fallen", "2026-02")
    assert check(store, "error rate", "site=fallen", repr(rate)).outcome == "exact"
    assert check(store, "accuracy", "site=fallen", f"{1 - rate:.1%}").outcome == "within rounding"


def test_a_wrong_number_is_reported_with_the_right_one(store):
    rate = compute_error_rate(store, "fallen", "2026-02")
    result = check(store, "error rate", "site=fallen", f"{rate + 0.002:.1%}")
    assert (result.outcome, result.derived.value) == ("wrong", pytest.approx(rate))
    assert "The audits give 15." in result.explanation


def test_a_stated_tolerance_is_applied(store):
    rate = compute_error_rate(store, "fallen", "2026-02")
    assert check(store, "error rate", "site=fallen", f"{rate + 0.002:.1%}", tolerance="0.5 pp").holds


def test_counts_are_exact(store):
    audits = pd.read_csv(store / "audits.csv")
    selected = audits[(audits["site"] == "fallen") & audits["decided_at"].str.startswith("2026-02")]
    is_error = selected["label"] != selected["truth"]
    assert check(store, "sample size", "site=fallen", "600").outcome == "exact"
    assert check(store, "errors", "site=fallen", str(is_error.sum())).outcome == "exact"
    assert check(store, "raters", "site=fallen", str(selected["rater"].nunique())).outcome == "exact"
    share = is_error[selected["policy"] == "hate"].sum() / is_error.sum()
    result = check(store, "share of errors", "site=fallen; policy=hate", f"{share:.1%}")
    assert (result.outcome, result.derived.value) == ("within rounding", pytest.approx(share))


def test_a_proven_change_holds_with_its_sign_in_the_value_or_the_metric(store):
    change = compute_error_rate(store, "fallen", "2026-02") - compute_error_rate(store, "fallen", "2026-01")
    assert check(store, "change in error rate", "site=fallen", f"{100 * change:+.1f} pp").holds
    assert check(store, "drop in accuracy", "site=fallen", f"{100 * change:.1f} points").holds
    assert check(store, "change in error rate", "site=fallen", "rose").outcome == "exact"
    assert check(store, "change in accuracy", "site=fallen", "rose").outcome == "wrong"


def test_a_right_change_whose_interval_includes_zero_is_not_proven(store):
    change = compute_error_rate(store, "steady", "2026-02") - compute_error_rate(store, "steady", "2026-01")
    result = check(store, "change in error rate", "site=steady", f"{100 * change:+.1f} pp")
    assert result.outcome == "true but not proven"
    assert result.derived.low < 0 < result.derived.high


def test_a_limit_inside_the_interval_is_not_proven(store):
    assert check(store, "accuracy", "site=steady", "at least 93.9 %").outcome == "true but not proven"
    assert check(store, "accuracy", "site=steady", "at least 80 %").outcome == "exact"
    assert check(store, "accuracy", "site=steady", "at least 99 %").outcome == "wrong"


@pytest.mark.parametrize(("site", "cause"), [("mixed", "mix"), ("stale", "truth"), ("switched", "sampling")])
def test_a_change_explained_by_mix_truth_or_sampling_is_detected(store, site, cause):
    change = compute_error_rate(store, site, "2026-02") - compute_error_rate(store, site, "2026-01")
    result = check(store, "change in error rate", f"site={site}", f"{100 * change:+.1f} pp")
    assert result.outcome == f"true but explained by {cause}", result.explanation


def test_a_raw_count_over_all_streams_is_explained_by_sampling(tmp_path):
    random = make_audits("a", (0.05, 0.05))
    targeted = make_audits("a", (0.3, 0.3), seed=1)
    both = pd.concat([random, targeted.assign(stream="targeted", audit_id="t" + targeted["audit_id"])])
    both.to_csv(tmp_path / "audits.csv", index=False)
    ingest(tmp_path / "audits.csv", tmp_path / "store")
    february = both[both["decided_at"].str.startswith("2026-02")]
    raw_rate = float((february["label"] != february["truth"]).mean())
    result = check(tmp_path, "error rate", "site=a", f"{raw_rate:.1%}")
    assert result.outcome == "true but explained by sampling"
    assert check(tmp_path, "audits", "site=a", "1,200").outcome == "true but explained by sampling"


def test_two_sites_can_be_compared(store):
    difference = compute_error_rate(store, "fallen", "2026-02") - compute_error_rate(store, "steady", "2026-02")
    result = check(
        store, "difference in error rate", "site=fallen", f"{100 * difference:.1f} pp", compared_with="site=steady"
    )
    assert result.holds


@pytest.mark.parametrize(
    ("metric", "scope", "value", "period", "reason"),
    [
        ("acuracy", "site=fallen", "95 %", "2026-02", "nearest: accuracy"),
        ("accuracy", "site=falen", "95 %", "2026-02", "nearest: fallen"),
        ("accuracy", "sit=fallen", "95 %", "2026-02", "nearest: site"),
        ("accuracy", "fallen", "95 %", "2026-02", "write it as site=lisbon"),
        ("accuracy", "site=fallen", "good", "2026-02", "no number"),
        ("accuracy", "site=fallen", "95 %", "2027-02", "no audits"),
        ("accuracy", "site=fallen", "95 %", "lately", "cannot be read"),
        ("severity weighted accuracy", "site=fallen", "95 %", "2026-02", "not available"),
        ("change in accuracy", "site=fallen", "1 pp", "", "needs a period"),
        ("change in accuracy", "site=fallen", "1 pp", "2026-01", "no audits"),
        ("share of errors", "site=fallen", "95 %", "2026-02", "scope within the site"),
    ],
)
def test_an_uncheckable_claim_gives_the_reason(store, metric, scope, value, period, reason):
    result = check(store, metric, scope, value, period=period)
    assert (result.outcome, result.derived) == ("not checkable", None)
    assert reason in result.explanation
