"""What a mapping declares of labels and weights, held against what the file has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import duckdb

from rca_lib.audits.label_sets import SEPARATOR
from rca_lib.audits.mapping import Mapping, Plan, show_nearest
from rca_lib.audits.names import LISTED, Notes
from rca_lib.audits.spelling import match_names
from rca_lib.findings import DataError

NEAR = 0.7  # similarity of two words (Ratcliff and Obershelp) from which one may be the other, mistyped
FEW_AGREE, ENOUGH = 0.05, 20  # share of rows in which label and truth agree, rows: what no team of raters sinks to


def check_declarations(
    engine: duckdb.DuckDBPyConnection, plan: Plan, mapping: Mapping, notes: Notes
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Check labels and weights of the rows that are kept; call it once `fates` is there.

    Returns
    -------
    benign, label_order
        As the mapping declares them, spelled as the store spells its labels.

    Raises
    ------
    DataError
        If a binary scale has more than two labels, the labels declared benign do not occur while similar ones do or
        none at all does, or all weights look like probabilities of being sampled and the mapping does not say which.
    """
    found = engine.execute(
        "select label, truth, count(*), min(row) from fates where fate = 'kept' group by all order by all"
    ).fetchall()
    used: Counter[str] = Counter()
    for label, truth, rows, _ in found:
        for labels in (label, truth):
            used.update(
                dict.fromkeys(labels.split(SEPARATOR) if mapping.label_scale == "multilabel" else [labels], rows)
            )
    spelled = match_names([*mapping.benign, *mapping.label_order], used)
    benign = tuple(dict.fromkeys(spelled.get(label, label) for label in mapping.benign))
    order = tuple(spelled.get(label, label) for label in mapping.label_order)
    if used:
        _check_scale(mapping, used)
        _check_benign(mapping, benign, used, sum(rows for *_, rows, _ in found), notes)
        _check_agreement([(label, truth, rows) for label, truth, rows, _ in found], notes)
    if "weight" in plan.places and not isinstance(plan.places["weight"], str):
        _check_weights(engine, mapping, notes)
    return benign, order


def _check_scale(mapping: Mapping, used: Counter[str]) -> None:
    if mapping.label_scale == "binary" and len(used) > 2:
        raise DataError(
            f"label_scale: binary, but there are {len(used)} labels: {_list(used)}",
            column="label",
            rows=sum(sorted(used.values())[:-2]),
            mend="write label_scale: nominal in the mapping, or bring the labels to two under labels",
        )


def _check_benign(mapping: Mapping, benign: Sequence[str], used: Counter[str], rows: int, notes: Notes) -> None:
    absent = [label for label in benign if label not in used]
    rest = [label for label in used if label not in benign]
    words = [label.lower() for label in rest]
    near = {one: get_close_matches(one.lower(), words, 1, NEAR) for one in absent if one not in mapping.known_labels}
    declared, usual = "benign" in mapping.model_fields_set, mapping.benign == Mapping().benign
    wrong = [label for label in near if near[label]] if declared else []
    if declared and not usual and not wrong and len(absent) == len(benign):
        wrong = list(near)
    if usual and absent and not wrong:
        what = f"no label is {absent[0]!r}: over- and under-enforcement are not available"
        hint = f"write benign: with the labels that mean no violation: {_list(used)}"
        notes.add(what, rows, hint)
    if wrong:
        raise DataError(
            f"benign: {wrong[0]!r} is none of the labels: {_list(used)}",
            column="label",
            rows=rows,
            mend=f"correct benign in the mapping; nearest: {show_nearest(wrong[0], rest or used)}",
        )


def _check_agreement(found: Sequence[tuple[str, str, int]], notes: Notes) -> None:
    """Note labels and truths that hardly ever agree, which no work explains."""
    rows = sum(count for *_, count in found)
    same = sum(count for label, truth, count in found if label == truth)
    if rows < ENOUGH or same / rows >= FEW_AGREE:
        return
    labels, truths = Counter[str](), Counter[str]()
    for label, truth, count in found:
        labels[label] += count
        truths[truth] += count
    apart = " They have no label in common." if not set(labels) & set(truths) else ""
    notes.add(
        f"label and truth agree in {same:,} of {rows:,} rows: check the label map.{apart} Labels: {_list(labels)}; "
        f"truths: {_list(truths)}",
        rows - same,
        "translate both to the same labels under labels in the mapping",
    )


def _check_weights(engine: duckdb.DuckDBPyConnection, mapping: Mapping, notes: Notes) -> None:
    """Ask where all weights are below 1: the weight is 1 / probability, and a probability in its place inverts it."""
    if mapping.weight_is:
        return
    _, below, low, high, total, first = engine.execute(
        "select count(*), count_if(weight < 1), min(weight), max(weight), sum(weight), min(row) filter (weight < 1) "
        "from fates where fate = 'kept' and weight is not null"
    ).fetchone() or (0, 0, 0.0, 0.0, 0.0, None)
    # Equal weights weigh nothing, whatever they are; weights that sum to one are shares of the whole.
    if not below or low == high or abs(total - 1) < 1e-6:
        return
    if high <= 1:
        raise DataError(
            f"all weights lie between {low:g} and {high:g}, as probabilities of being sampled do",
            column="weight",
            rows=below,
            first={"source_row": first, "weight": f"{low:g}"},
            mend="write weight_is: probability in the mapping, which weighs by 1 / probability, or weight_is: weight",
        )
    what = f"weight: values below 1, down to {low:g}, which 1 / probability never is"
    notes.add(what, below, "write weight_is: weight in the mapping if they are right")


def _list(words: Counter[str]) -> str:
    shown: Iterable[str] = (f"{word!r} ({rows:,})" for word, rows in words.most_common(LISTED))
    return ", ".join(shown) + (f" and {len(words) - LISTED} more" if len(words) > LISTED else "")
