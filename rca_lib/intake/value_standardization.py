"""Standardization of values: the spellings of a name in a file become one name in the store.

Columns with a common vocabulary, such as `label` and `truth`, are standardized together. Only typographic variants are
merged. Each distinct value is mapped once, and the table `value_replacements` holds what changes:

- `vocabulary`: a key of `VOCABULARIES`;
- `spelling`: the value in the file;
- `name`: the value in the store, null for a missing value or an unknown label;
- `repair`: the repair, null if the mapping asked for the change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping as Pairs
from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb
import pandas as pd

from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.column_plan import ColumnPlan
from rca_lib.intake.label_sets import format_label_set, parse_label_set
from rca_lib.intake.ledger import SPELLING_DIFFERENCE
from rca_lib.intake.missing_values import find_null_like_names, is_missing_word, may_be_missing
from rca_lib.intake.sql_scripts import execute_script
from rca_lib.intake.text_normalization import (
    INVISIBLE_CHARACTERS,
    JOINERS,
    PLAIN_ID_CHARACTERS,
    VARIATION_SELECTORS,
    WHITESPACE_CHARACTERS,
    choose_canonical_names,
    make_match_key,
    match_canonical_names,
)
from rca_lib.io.duckdb_connection import execute, quote_literal

# The columns of one vocabulary share their names.
VOCABULARIES = {
    "label": ("label", "truth", "model_label"),
    "people": ("rater", "auditor"),
    "coder": ("cause_coder", "cause2_coder"),
    "code": ("cause_code", "cause2_code"),
    "action": ("action", "true_action"),
    "version": ("policy_version_decided", "policy_version_audited"),
} | {
    name: (name,)
    for name in (
        "site", "vendor", "queue", "stratum", "market", "language", "policy", "content_type", "team", "hiring_class",
        "shift",
    )
}  # fmt: skip
CASE_SENSITIVE = ("people", "coder", "code", "version")  # pseudonyms and codes may differ only in case
REVIEWED_FOR_MISSING = ("label", "people", "site")  # vocabularies whose ambiguous words are listed for review
VOCABULARY_OF = {name: vocabulary for vocabulary, names in VOCABULARIES.items() for name in names}
SPELLING_REPAIR = "{}: other spellings of one name"
MISSING_WORD_REPAIR = "{}: words for missing values"
LABEL_SET_REPAIR = "{}: other notations of a label set"
MAX_LISTED = 12  # values in a note

Replacement = tuple[str, str | None, str | None]  # spelling, name, repair


@dataclass(slots=True)
class ReviewNotes:
    """What a person should review: sentence, number of rows, suggestion."""

    notes: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, sentence: str, rows: int, suggestion: str) -> None:
        """Add a note."""
        self.notes.append((sentence, rows, suggestion))


def create_text_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the macros of `text_normalization.sql` from the constants of `text_normalization`."""
    typographic = quote_literal("".join(map(chr, PLAIN_ID_CHARACTERS)))
    plain = quote_literal("".join(PLAIN_ID_CHARACTERS.values()))
    ends = f"^[ {JOINERS}{VARIATION_SELECTORS}]+|[ {JOINERS}]+$"
    execute(
        connection,
        f"create macro invisible_characters() as {quote_literal(f'[{INVISIBLE_CHARACTERS}]+')}; "
        f"create macro whitespace_characters() as {quote_literal(f'[{WHITESPACE_CHARACTERS}]+')}; "
        f"create macro invisible_ends() as {quote_literal(ends)}; "
        f"create macro replace_typographic_characters(v) as translate(v, {typographic}, {plain})",
    )
    execute_script(connection, "text_normalization.sql")


def standardize_values(connection: duckdb.DuckDBPyConnection, plan: ColumnPlan, mapping: ColumnMapping) -> ReviewNotes:
    """Create the view `standardized_rows` over the view `cell_values`, with one spelling per name.

    Parameters
    ----------
    connection
        The connection, with the view `cell_values`.
    plan
        The source of each column.
    mapping
        Its `labels`, `values`, `nulls` and `label_scale` decide what a value means.

    Returns
    -------
    ReviewNotes
        Names that may stand for a missing value, and names that differ only in case or punctuation.

    Notes
    -----
    `standardized_rows` has the columns of `cell_values`. Label columns are also there under their own names (`label`,
    `truth`, `model_label`), as the mapping translates them.
    """
    notes = ReviewNotes()
    columns = [name for name in VOCABULARY_OF if name in plan.sources]
    spellings = _count_spellings(connection, columns)
    rows: list[tuple[str, str, str | None, str | None]] = []
    for vocabulary, names in VOCABULARIES.items():
        counts = {
            name: Counter({value: count for column, value, count in spellings if column == name}) for name in names
        }
        total = _sum_counts(counts)
        replacements = _map_labels(total, mapping) if vocabulary == "label" else _map_names(vocabulary, total, mapping)
        rows += [(vocabulary, *replacement) for replacement in replacements]
        _note_ambiguous_values(notes, vocabulary, counts, {spelling: name for spelling, name, _ in replacements})
    table = pd.DataFrame(rows, columns=["vocabulary", "spelling", "name", "repair"], dtype=object)
    connection.register("replacement_frame", table.astype("string"))
    execute(connection, "create table value_replacements as from replacement_frame")
    _create_standardized_view(connection, columns, {vocabulary for vocabulary, *_ in rows})
    return notes


def _count_spellings(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> list[tuple[str, str, int]]:
    """Return column, value and number of rows for each distinct value."""
    if not columns:  # a side table may have no names
        return []
    texts = ", ".join(f"t_{name} as {name}" for name in columns)
    return connection.execute(
        f"select name, value, count(*) from (select {texts} from cell_values) "
        f"unpivot (value for name in ({', '.join(columns)})) group by all order by all"
    ).fetchall()


def _sum_counts(counts: Pairs[str, Counter[str]]) -> Counter[str]:
    """Add the counts of several columns."""
    return sum(counts.values(), Counter())


def _create_standardized_view(connection: duckdb.DuckDBPyConnection, columns: Sequence[str], changed: set[str]) -> None:
    """Create `standardized_rows`: join `value_replacements` to the columns whose vocabulary has replacements."""
    joined = [name for name in columns if VOCABULARY_OF[name] in changed]
    replaced = {name: f"case when r_{name}.spelling is null then t_{name} else r_{name}.name end" for name in joined}
    labels = {name: replaced.get(name, f"t_{name}") for name in VOCABULARIES["label"]}
    is_missing_word = f"= {quote_literal(MISSING_WORD_REPAIR)}"
    texts = [f"{text} as t_{name}" for name, text in replaced.items() if name not in labels]
    texts += [
        f"case when r_{name}.repair {is_missing_word} then null else t_{name} end as t_{name}"
        for name in labels
        if name in joined
    ]
    repairs = [f"replace(r_{name}.repair, '{{}}', '{name}')" for name in joined]
    differs_in_spelling = f"w_label <> w_truth and ({labels['label']}) = ({labels['truth']})"
    repairs.append(f"case when {differs_in_spelling} then {quote_literal(SPELLING_DIFFERENCE)} end")
    replace_clause = f"replace ({', '.join(texts)})" if texts else ""
    label_columns = ", ".join(f"{text} as {name}" for name, text in labels.items())
    all_repairs = f"list_concat(cleaning_repairs, [{', '.join(repairs)}]::varchar[])"
    joins = " ".join(
        f"left join (from value_replacements where vocabulary = '{VOCABULARY_OF[name]}') as r_{name} "
        f"on r_{name}.spelling = t_{name}"
        for name in joined
    )
    execute(
        connection,
        f"create view standardized_rows as select cell_values.* exclude (cleaning_repairs, w_label, w_truth) "
        f"{replace_clause}, {label_columns}, "
        f"list_filter({all_repairs}, lambda repair: repair is not null) as cleaning_repairs from cell_values {joins}",
    )


# Replacements --------------------------------------------------------------------------------------------------------


def _map_names(vocabulary: str, spellings: Counter[str], mapping: ColumnMapping) -> list[Replacement]:
    """Return the replacement of each spelling that is not itself the name."""
    fold_case = vocabulary not in CASE_SENSITIVE
    declared = {old: new for name in VOCABULARIES[vocabulary] for old, new in mapping.values.get(name, {}).items()}
    matches = match_canonical_names(spellings, declared, fold_case=fold_case)
    translated = {spelling: declared[key] for spelling, key in matches.items()}
    pseudonyms = find_null_like_names(mapping.nulls) if vocabulary == "people" else frozenset()
    missing = {
        spelling
        for spelling in spellings
        if spelling not in translated and spelling.lower() not in pseudonyms and _is_missing(spelling, mapping)
    }
    name_counts: Counter[str] = Counter()
    for spelling, rows in spellings.items():
        if spelling not in missing:
            name_counts[translated.get(spelling, spelling)] += rows
    zones = mapping.site_time_zones
    sites = zones if vocabulary == "site" and isinstance(zones, dict) else {}
    canonical = choose_canonical_names(name_counts, {*declared.values(), *sites}, fold_case=fold_case)
    replacements: list[Replacement] = [(spelling, None, MISSING_WORD_REPAIR) for spelling in sorted(missing)]
    for spelling in sorted(set(spellings) - missing):
        translation = translated.get(spelling, spelling)
        name = canonical.get(translation, translation)
        if spelling != name:
            replacements.append((spelling, name, SPELLING_REPAIR if name != declared.get(spelling) else None))
    return replacements


def _map_labels(spellings: Counter[str], mapping: ColumnMapping) -> list[Replacement]:
    """Return the replacement of each spelling of a label or label set; the name is None for an unknown label."""
    known = mapping.known_labels
    declared = {label: label for label in known} | mapping.labels
    is_set = mapping.label_scale == "multilabel"
    whole = match_canonical_names(spellings, declared)
    parts = {
        spelling: (spelling,) if spelling in whole or not is_set else parse_label_set(spelling, declared)
        for spelling in spellings
        if spelling in whole or not _is_missing(spelling, mapping)
    }
    part_counts: Counter[str] = Counter()
    for spelling, rows in spellings.items():
        part_counts.update(dict.fromkeys(parts.get(spelling, ()), rows))
    labels = _translate_labels(part_counts, declared, bool(known))
    label_counts: Counter[str] = Counter()
    for part, label in labels.items():
        if label:
            label_counts[label] += part_counts[part]
    canonical = choose_canonical_names(label_counts, {*known, *mapping.benign})
    replacements: list[Replacement] = []
    for spelling in sorted(spellings):
        if not parts.get(spelling):
            replacements.append((spelling, None, MISSING_WORD_REPAIR))
            continue
        translations = [labels[part] for part in parts[spelling]]
        names = [canonical.get(label, label) for label in translations if label is not None]
        name = None  # one of the labels is unknown
        if len(names) == len(translations):
            name = format_label_set(names) if is_set else names[0]
        if name != spelling:
            replacements.append((spelling, name, _describe_label_repair(spelling, name, declared, is_set)))
    return replacements


def _translate_labels(labels: Counter[str], declared: Pairs[str, str], has_fixed_labels: bool) -> dict[str, str | None]:
    """Translate labels by the mapping; one that it does not know becomes None if the labels are fixed."""
    matches = match_canonical_names(labels, declared)
    return {
        label: declared[matches[label]] if label in matches else None if has_fixed_labels else label for label in labels
    }


def _describe_label_repair(spelling: str, name: str | None, declared: Pairs[str, str], is_set: bool) -> str | None:
    """Return the repair of a label, None if it is unknown or the mapping asked for the change."""
    if name is None or name == declared.get(spelling):
        return None
    is_notation = is_set and make_match_key(name) != make_match_key(spelling)
    return LABEL_SET_REPAIR if is_notation else SPELLING_REPAIR


def _is_missing(text: str, mapping: ColumnMapping) -> bool:
    """Return whether a text stands for a missing value, by itself or by the mapping."""
    return is_missing_word(text) or make_match_key(text) in {make_match_key(word) for word in mapping.nulls}


# Notes for review ----------------------------------------------------------------------------------------------------


def _note_ambiguous_values(
    notes: ReviewNotes, vocabulary: str, counts: Pairs[str, Counter[str]], names: Pairs[str, str | None]
) -> None:
    """Note names that may stand for a missing value, and names that differ only in case or punctuation."""
    if vocabulary in REVIEWED_FOR_MISSING:
        for column in VOCABULARIES[vocabulary]:
            _note_missing_words(notes, column, counts[column], names)
    name_counts: Counter[str] = Counter()
    for spelling, rows in _sum_counts(counts).items():
        name = names.get(spelling, spelling)
        if name is not None:
            name_counts[name] += rows
    _note_similar_names(notes, vocabulary, name_counts)


def _note_missing_words(
    notes: ReviewNotes, column: str, spellings: Counter[str], names: Pairs[str, str | None]
) -> None:
    """Note kept names, such as "none", that often stand for a missing value."""
    words: dict[str, int] = {}
    for spelling, rows in spellings.items():
        name = names.get(spelling, spelling)
        if name is not None and may_be_missing(name):
            words[name] = words.get(name, 0) + rows
    if words:
        sentence = f"{column}: {_format_counts(words)} may mean a missing value and is kept"
        notes.add(sentence, sum(words.values()), "add it to nulls in the mapping if it means a missing value")


def _note_similar_names(notes: ReviewNotes, vocabulary: str, name_counts: Counter[str]) -> None:
    """Note kept names that differ only in case or punctuation."""
    groups: dict[str, list[str]] = {}
    for name in sorted(name_counts):
        letters = "".join(character for character in make_match_key(name) if character.isalnum())
        groups.setdefault(letters or name, []).append(name)
    similar = [group for group in groups.values() if len(group) > 1]
    if not similar:
        return
    rows = sum(name_counts[name] for group in similar for name in group)
    largest = max(similar, key=lambda group: sum(name_counts[name] for name in group))
    listed = _format_counts({name: name_counts[name] for name in largest})
    more = f" and {len(similar) - 1} more such groups" if len(similar) > 1 else ""
    columns = " and ".join(VOCABULARIES[vocabulary][:2])
    key = "labels" if vocabulary == "label" else "values"
    sentence = f"{columns}: {listed}{more} differ only in case or punctuation and are kept apart"
    notes.add(sentence, rows, f"bring them to one spelling under {key} in the mapping if they are the same")


def _format_counts(counts: Pairs[str, int]) -> str:
    """List values with their numbers of rows."""
    listed = [f"{value!r} ({rows:,})" for value, rows in list(counts.items())[:MAX_LISTED]]
    more = f" and {len(counts) - MAX_LISTED} more" if len(counts) > MAX_LISTED else ""
    return ", ".join(listed) + more
