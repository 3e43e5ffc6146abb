"""Root-cause analysis of audited decisions: the questions, the records they return, the tables they read.

Names are imported when they are first used, so that a command that needs only one of them starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "audits.sampling": "describe_sampling",
    "questions.quality": "measure_quality",
    "questions.trend": "find_changes date_slices make_control_chart",
    "questions.screening": "screen_changes",
    "questions.drivers": "rank_drivers",
    "questions.rivals": "weigh_rivals",
    "questions.taxonomy": "tag_errors",
    "questions.disagreement": "cluster_disagreements show_examples",
    "questions.reliability": "measure_agreement",
    "questions.appraisal": "appraise_raters",
    "questions.truth": "infer_truth review_truth",
    "questions.explanations": "explain_disagreements",
    "questions.raters": "rank_raters",
    "questions.auditors": "compare_auditors",
    "questions.correction": "correct_accuracy",
    "questions.causes": "rank_causes",
    "questions.actions": "propose_actions",
    "questions.portfolio": "compare_sites",
    "findings": "Claim DataError Estimate Finding Rate",
    "audits.ratings": "ratings_from_audits",
    "audits.counting": "count_errors count_steps keep_proportional keep_slice",
    "audits.store": "open_calibration open_case open_ledger open_store",
    "audits.beside": "open_side_tables read_events read_targets",
    "audits.intake": "take_in",
    "audits.mapping": "read_mapping",
    "audits.taxonomy_file": "read_taxonomy",
    "audits.synthetic": "simulate_audits demo_simulation",
    "reporting.deep_dive": "answer_questions",
    "reporting.last_periods": "compare_last_periods",
    "reporting.calibration": "answer_calibration",
    "reporting.page_one": "write_page_one save_page",
    "reporting.claim_files": "read_claims",
    "reporting.claim_checks": "check_claims",
    "reporting.index": "link_reports",
    "reporting.history": "compare_claims lay_out_series read_series",
    "reporting.display": "save_table show_figure show_table show_words",
    "batch.verifying": "verify_folder verify_report",
}
_PLOTS = (
    "auditors", "disagreement", "drivers", "explanations", "portfolio", "quality", "raters", "reliability", "screening",
    "taxonomy", "trend",
)  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
_HOME_OF |= {f"plot_{noun}": f"reporting.plots.{noun}" for noun in _PLOTS} | {"plot_series": "reporting.plots.history"}

__all__ = list(_HOME_OF)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
