"""What changed on page one against the previous period and the previous run."""

from rca_lib.reporting.report_changes import ClaimChange, diff_claims, render_changes


def make_claims(**sections):
    """Return claims of page one from the sentences of each section; a key is the words before the first colon."""
    return [
        {
            "id": f"{section.replace('_', '-')}-{number}",
            "key": sentence.partition(":")[0],
            "sentence": sentence,
        }
        for section, sentences in sections.items()
        for number, sentence in enumerate(sentences, 1)
    ]


def test_equal_claims_are_no_change():
    page = make_claims(how_much=["Accuracy 93.0 %.", "Target met."], where=["queue = video: 40 errors."])
    assert diff_claims(page, page) == ()


def test_claims_are_paired_by_topic_not_by_position():
    current = make_claims(how_much=["Over-enforcement target: met at 5.7 %.", "Accuracy: 93.0 % (91.9 to 94.0)."])
    previous = make_claims(how_much=["Accuracy: 94.3 % (93.0 to 95.3).", "Over-enforcement target: met at 4.8 %."])
    assert diff_claims(current, previous) == (
        ClaimChange("How much", "Over-enforcement target: met at 5.7 %.", "Over-enforcement target: met at 4.8 %."),
        ClaimChange("How much", "Accuracy: 93.0 % (91.9 to 94.0).", "Accuracy: 94.3 % (93.0 to 95.3)."),
    )


def test_a_new_or_removed_claim_has_no_partner():
    current, previous = (
        make_claims(where=["queue = video: 40 errors."]),
        make_claims(why=["Hiring class of February fits."]),
    )
    assert diff_claims(current, previous) == (
        ClaimChange("Where", "queue = video: 40 errors.", ""),
        ClaimChange("Why", "", "Hiring class of February fits."),
    )


def test_claims_about_different_things_are_not_paired_however_alike_they_read():
    current, previous = make_claims(why=["policy = hate: update."]), make_claims(why=["policy = spam: update."])
    assert diff_claims(current, previous) == (
        ClaimChange("Why", "policy = hate: update.", ""),
        ClaimChange("Why", "", "policy = spam: update."),
    )


def test_claims_with_the_same_key_are_paired_in_order():
    current = make_claims(since_when=["trend: up on 5 March.", "trend: down on 20 March."])
    previous = make_claims(since_when=["trend: up on 5 March."])
    assert diff_claims(current, previous) == (ClaimChange("Since when", "trend: down on 20 March.", ""),)


def test_claims_are_escaped_and_data_rows_of_another_period_omitted():
    current = make_claims(where=["queue = <script>: 40 errors."], data_used=["100 rows."])
    previous = make_claims(where=["queue = <b>: 10 errors."], data_used=["90 rows."])
    run = {"started": "2026-11-20T10:00:00+00:00", "data": "f" * 64, "claims": previous}
    section = render_changes(current, "2026-02", previous, run)
    assert "<script>" not in section and "queue = &lt;script&gt;" in section
    period_changes, _, run_changes = section.partition("Changes since the previous run")
    assert "90 rows" not in period_changes
    assert "90 rows" in run_changes and "Run of 2026-11-20" in run_changes


def test_missing_earlier_reports_are_stated():
    section = render_changes(make_claims(where=["x"]), "2026-02", None, None)
    assert "There is no report of 2026-02" in section
    assert "first report of this site and period" in section
