"""Every question accepts what the ingest keeps: unusual values in every column, then all reports."""

import random
from itertools import cycle, islice

import pandas as pd
import pytest

from rca_lib import (
    attribute_errors,
    build_page_one,
    compare_last_periods,
    compare_sites,
    convert_to_ratings,
    measure_agreement,
    review_truth,
    run_deep_dive,
)
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest
from rca_lib.store.cases import open_calibration, open_case, open_store

ODD = (
    "a\u200bb", "ab", "e\u0301", "\u00e9", "a  b", " a", "\u00a0a", "a\x00b", "a\x1bb", "a\tb", "a\nb",
    "x" * 300, "01", "1e5", "TRUE", "true", "None", "-", "?", "NA", "=1+1", "$x$", "<b>", "a|b", "a;b", "{a}",
    "[a]", "'a'", '"a"', "\u200f\u05d0", "\u200d", "a\u200db", "\U0001f3f4\U000e0067\U000e007f", "a\ufe0f", "A",
    "a", "0", "-1", "1", "1.0", "\u0430", "\ufb01", "fi", "\u00b2", "\U0001f600", "%", "\\", "''", "(missing)",
    "(rare)", "the truth", "audit 1", "", " ", "\u3164", "\u0130", "i",
)  # fmt: skip
VALUES = {
    "vendor": ("V",), "queue": ("q1", "q2"), "stratum": ("s", "t"), "market": ("m",), "language": ("en",),
    "policy": ("hate", "spam"), "severity": ("non_critical",), "auditor": ("x", "y"), "action": ("a", "b"),
    "true_action": ("a", "b"), "content_type": ("v", "w"), "team": ("t1", "t2"), "hiring_class": ("h",),
    "tenure_days": ("10", "50"), "shift": ("early",), "handle_seconds": ("10", "50"), "dispute": ("none", "raised"),
    "appeal": ("none",), "model_label": ("benign", "spam"), "model_score": ("0.5", "0.7"), "cause_coder": ("c",),
    "comment": ("some text", "other words"), "policy_version_decided": ("v1",), "blind": ("yes",),
    "policy_version_audited": ("v1", "v1", "v1", "v2"), "audit_round": ("1", "1", "1", "2"), "stream": ("random",),
}  # fmt: skip


def make_odd_audits(seed: int, rows: int = 200) -> pd.DataFrame:
    """Audits of two months; every odd value occurs in some column, drawn by the seed."""
    rng = random.Random(seed)
    times = pd.Timestamp("2026-01-01 08:00") + pd.to_timedelta([i * 84_000 // rows for i in range(rows)], unit="min")
    labels = [rng.choice(("benign", "hate", "spam")) for _ in range(rows)]
    table = pd.DataFrame(
        {"audit_id": [f"A{i}" for i in range(rows)], "item_id": [f"I{i * 3 // 4}" for i in range(rows)]}
    )
    table = table.assign(site="Lisbon", rater=[f"R{i % 6}" for i in range(rows)], decided_at=times.astype(str))
    table = table.assign(label=labels, truth=[rng.choice((label, label, label, "hate")) for label in labels])
    table = table.assign(**{name: [rng.choice(values) for _ in range(rows)] for name, values in VALUES.items()})
    columns = [name for name in table if name not in ("audit_id", "decided_at", "model_score")]
    for text in ODD:
        for column in rng.sample(columns, 3):
            table.loc[rng.randrange(rows), column] = text
    return table


@pytest.mark.parametrize(("seed", "scale"), [(1, "nominal"), (2, "multilabel"), (3, "nominal")])
def test_every_question_accepts_what_the_ingest_keeps(tmp_path, seed, scale):
    store = tmp_path / "store"
    ledger = ingest(make_odd_audits(seed), store, mapping=ColumnMapping(time_zone="UTC", label_scale=scale))
    assert ledger.kept + ledger.quarantined + ledger.exact_duplicates + ledger.empty == ledger.rows_read == 200
    assert ledger.kept > 100
    answers = run_deep_dive(open_case(store, site="Lisbon", period="2026-02"))
    assert "accuracy" in str(build_page_one(answers)).lower()
    audits, ratings = open_calibration(store, periods=["2026-02"])
    all_ratings = convert_to_ratings(audits, ratings, item_columns=("policy", "site"))
    assert measure_agreement(all_ratings).summary()
    assert review_truth(all_ratings, audits).summary() and attribute_errors(all_ratings, audits).summary()
    assert compare_sites(open_store(store)).summary()
    assert compare_last_periods(open_store(store)) is not None


@pytest.mark.parametrize("column", ["site", "rater", "item_id", "label", "truth", "auditor", "policy", "queue"])
def test_no_odd_value_is_lost_between_kept_and_quarantined(column):
    audits = make_odd_audits(4).assign(**{column: list(islice(cycle(ODD), 200))})
    ledger = ingest(audits, None, mapping=ColumnMapping(time_zone="UTC"))
    assert ledger.kept + ledger.quarantined + ledger.exact_duplicates + ledger.empty == ledger.rows_read == 200
