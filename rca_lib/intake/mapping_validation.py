"""Validation of a mapping against the data: labels, benign labels, agreement of label and truth, weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from difflib import get_close_matches

import duckdb

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping, suggest_names
from rca_lib.intake.column_plan import ColumnPlan
from rca_lib.intake.label_sets import SEPARATOR
from rca_lib.intake.text_normalization import match_canonical_names
from rca_lib.intake.value_standardization import MAX_LISTED, ReviewNotes

MIN_SIMILARITY = 0.7  # Ratcliff-Obershelp similarity from which a label may be a typing error of another
MIN_PLAUSIBLE_AGREEMENT = 0.05  # share of rows in which label and truth agree; no team of raters falls below it
MIN_AGREEMENT_ROWS = 20  # rows from which the agreement is judged
WEIGHT_SUM_TOLERANCE = 1e-6  # distance from 1 up to which weights are shares of the whole

LabelPair = tuple[str, str, int]
"""A label, a truth, and the number of rows that have both."""


def validate_mapping(
    connection: duckdb.DuckDBPyConnection, plan: ColumnPlan, mapping: ColumnMapping, notes: ReviewNotes
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Validate what a mapping declares about labels and weights against the rows that are kept.

    Parameters
    ----------
    connection
        The connection, with the view `row_statuses`.
    plan
        The source of each column.
    mapping
        How the file writes values.
    notes
        Sentences for a person to review are added to it.

    Returns
    -------
    benign, label_order
        As the mapping declares them, in the spelling of the labels in the store.

    Raises
    ------
    DataError
        If a binary scale has more than two labels. If a benign label does not occur and a similar one does, or none of
        the benign labels occurs. If all weights look like sampling probabilities and `weight_is` is not declared.
    """
    label_pairs = connection.execute(
        "select label, truth, count(*) from row_statuses where row_status = 'kept' group by all order by all"
    ).fetchall()
    label_counts = _count_labels(label_pairs, mapping)
    spellings = match_canonical_names([*mapping.benign, *mapping.label_order], label_counts)
    benign = tuple(dict.fromkeys(spellings.get(label, label) for label in mapping.benign))
    label_order = tuple(spellings.get(label, label) for label in mapping.label_order)
    if label_counts:
        _validate_scale(mapping, label_counts)
        rows = sum(count for *_, count in label_pairs)
        _validate_benign(mapping, benign, label_counts, rows, notes)
        _check_agreement(label_pairs, notes)
    if "weight" in plan.sources and not isinstance(plan.sources["weight"], str):
        _validate_weights(connection, mapping, notes)
    return benign, label_order


def _count_labels(label_pairs: Sequence[LabelPair], mapping: ColumnMapping) -> Counter[str]:
    """Count the rows of each label, as label and as truth; a set of labels counts for each of its labels."""
    counts: Counter[str] = Counter()
    for label, truth, rows in label_pairs:
        for text in (label, truth):
            labels = text.split(SEPARATOR) if mapping.label_scale == "multilabel" else [text]
            counts.update(dict.fromkeys(labels, rows))
    return counts


def _validate_scale(mapping: ColumnMapping, label_counts: Counter[str]) -> None:
    """Raise DataError if a binary scale has more than two labels."""
    if mapping.label_scale == "binary" and len(label_counts) > 2:
        raise DataError(
            f"label_scale: binary, but there are {len(label_counts)} labels: {_format_counts(label_counts)}",
            column="label",
            rows=sum(sorted(label_counts.values())[:-2]),
            hint="write label_scale: nominal in the mapping, or map the labels to two under labels",
        )


def _validate_benign(
    mapping: ColumnMapping, benign: Sequence[str], label_counts: Counter[str], rows: int, notes: ReviewNotes
) -> None:
    """Raise DataError if declared benign labels are wrong; add a note if the default one does not occur."""
    absent = [label for label in benign if label not in label_counts]
    other_labels = [label for label in label_counts if label not in benign]
    unmapped = [label for label in absent if label not in mapping.known_labels]
    is_declared = "benign" in mapping.model_fields_set
    is_default = mapping.benign == ColumnMapping().benign
    invalid = [label for label in unmapped if _has_similar_label(label, other_labels)] if is_declared else []
    if is_declared and not is_default and not invalid and len(absent) == len(benign):
        invalid = unmapped
    if is_default and absent and not invalid:
        sentence = f"no label is {absent[0]!r}: over- and under-enforcement are not available"
        hint = f"write benign: with the labels that mean no violation: {_format_counts(label_counts)}"
        notes.add(sentence, rows, hint)
    if invalid:
        nearest = suggest_names(invalid[0], other_labels or label_counts)
        raise DataError(
            f"benign: {invalid[0]!r} is not one of the labels: {_format_counts(label_counts)}",
            column="label",
            rows=rows,
            hint=f"correct benign in the mapping; nearest: {nearest}",
        )


def _has_similar_label(label: str, labels: Collection[str]) -> bool:
    """Tell whether a label may be a typing error of one of some labels."""
    return bool(get_close_matches(label.lower(), [text.lower() for text in labels], 1, MIN_SIMILARITY))


def _check_agreement(label_pairs: Sequence[LabelPair], notes: ReviewNotes) -> None:
    """Add a note if label and truth agree so rarely that the labels must be mapped incorrectly."""
    rows = sum(count for *_, count in label_pairs)
    agreeing = sum(count for label, truth, count in label_pairs if label == truth)
    if rows < MIN_AGREEMENT_ROWS or agreeing / rows >= MIN_PLAUSIBLE_AGREEMENT:
        return
    labels = Counter[str]()
    truths = Counter[str]()
    for label, truth, count in label_pairs:
        labels[label] += count
        truths[truth] += count
    disjoint = "" if set(labels) & set(truths) else " They have no label in common."
    notes.add(
        f"label and truth agree in {agreeing:,} of {rows:,} rows: check the label map.{disjoint} "
        f"Labels: {_format_counts(labels)}; truths: {_format_counts(truths)}",
        rows - agreeing,
        "map both to the same labels under labels in the mapping",
    )


def _validate_weights(connection: duckdb.DuckDBPyConnection, mapping: ColumnMapping, notes: ReviewNotes) -> None:
    """Raise DataError if all weights are at most 1; add a note if some are below 1.

    A weight is 1 / probability and thus at least 1. A probability in its place would invert the weights.
    """
    if mapping.weight_is:
        return
    below_one, low, high, total, first_row = connection.execute(
        "select count_if(weight < 1), min(weight), max(weight), sum(weight), min(row) filter (weight < 1) "
        "from row_statuses where row_status = 'kept' and weight is not null"
    ).fetchone() or (0, 0.0, 0.0, 0.0, None)
    # Equal weights have no effect, whatever they are. Weights that sum to 1 are shares of the whole.
    if not below_one or low == high or abs(total - 1) < WEIGHT_SUM_TOLERANCE:
        return
    if high <= 1:
        raise DataError(
            f"all weights are between {low:g} and {high:g}, like sampling probabilities",
            column="weight",
            rows=below_one,
            first={"source_row": first_row, "weight": f"{low:g}"},
            hint="write weight_is: probability in the mapping to weight by 1 / probability, or weight_is: weight",
        )
    sentence = f"weight: values below 1, down to {low:g}, although 1 / probability is never below 1"
    notes.add(sentence, below_one, "write weight_is: weight in the mapping if they are right")


def _format_counts(counts: Counter[str]) -> str:
    """List the most frequent words with their number of rows."""
    listed = ", ".join(f"{word!r} ({rows:,})" for word, rows in counts.most_common(MAX_LISTED))
    more = f" and {len(counts) - MAX_LISTED} more" if len(counts) > MAX_LISTED else ""
    return listed + more
