"""Root-cause analysis of audited decisions: the questions, the records they return, the tables they read.

Names are imported when they are first used, so that a command that needs only one of them starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULE_EXPORTS = {
    "audits.sampling": "describe_sampling",
    "questions.quality": "measure_quality",
    "questions.trend": "find_changes date_slices compute_control_chart",
    "questions.screening": "screen_series",
    "questions.drivers": "rank_drivers",
    "questions.alternative_explanations": "assess_alternatives",
    "questions.error_tagging": "tag_errors",
    "questions.disagreements": "cluster_disagreements fetch_examples",
    "questions.agreement": "measure_agreement",
    "questions.attribute_agreement": "measure_attribute_agreement",
    "questions.truth_inference": "infer_truth",
    "questions.truth_review": "review_truth",
    "questions.error_attribution": "attribute_errors",
    "questions.raters": "rank_raters",
    "questions.auditor_calibration": "compare_auditors",
    "questions.audit_error": "estimate_audit_error",
    "questions.causes": "rank_causes",
    "questions.corrective_actions": "propose_actions",
    "questions.event_scopes": "compare_event_scopes",
    "questions.portfolio": "compare_sites",
    "findings": "Claim DataError Day Estimate Finding Quantity Rate Text",
    "result": "NotAvailable Result",
    "audits.ratings": "convert_to_ratings",
    "audits.counting": "count_errors has_values keep_proportional keep_slice",
    "audits.error_types": "get_label_order",
    "audits.time_series": "count_over_time",
    "store.cases": "open_calibration open_case open_ledger open_store",
    "store.stored_tables": "open_side_tables read_events read_targets",
    "intake.ingest": "ingest",
    "intake.column_mapping": "read_mapping",
    "audits.taxonomy": "read_taxonomy",
    "simulation.synthetic_audits": "simulate_audits simulate_demo",
    "reporting.deep_dive": "DeepDive collect_results rank_deep_dive_causes run_deep_dive",
    "reporting.period_comparison": "compare_last_periods",
    "reporting.page_one": "build_page_one place_page_one save_page_one show_page_one",
    "reporting.claim_files": "read_claims",
    "reporting.claim_checks": "check_claims",
    "reporting.index": "link_reports",
    "reporting.report_changes": "diff_claims",
    "reporting.kpi_series": "pivot_kpi_series read_kpi_series",
    "reporting.display": "save_table show_figure show_synthetic_notice show_table",
    "batch.batch_verification": "verify_folder verify_report",
}
_PLOTS = (
    "agreement", "auditor_calibration", "disagreements", "drivers", "error_attribution", "error_tagging", "portfolio",
    "quality", "raters", "screening", "trend",
)  # fmt: skip
_MODULE_OF = {name: home for home, names in _MODULE_EXPORTS.items() for name in names.split()}
_MODULE_OF |= {f"plot_{noun}": f"reporting.plots.{noun}" for noun in _PLOTS} | {
    "plot_kpi_series": "reporting.plots.kpi_series"
}

__all__ = list(_MODULE_OF)
__version__ = "0.1.0"


def find_module(name: str) -> str:
    """Return the module that defines a public name.

    Examples
    --------
    >>> find_module("rank_drivers")
    'rca_lib.questions.drivers'
    """
    return f"{__name__}.{_MODULE_OF[name]}"


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(find_module(name)), name)
