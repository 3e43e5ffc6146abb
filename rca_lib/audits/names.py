"""Names as a file spells them become names as the store holds them: one pass over the distinct values of each column.

A column of names belongs to a family (`FAMILIES`); the spellings of a family become one name where they differ by
typography alone. What changes stands in the table `readings`: family, spelling, name (null: no value, or a label that
is not known), and `mark`, what was repaired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb
import pandas as pd

from rca_lib.audits.label_sets import parse_label_set, write_label_set
from rca_lib.audits.ledger import BY_SPELLING
from rca_lib.audits.mapping import Mapping, Plan, quote
from rca_lib.audits.nothing import is_nothing, looks_like_nothing, names_of_people
from rca_lib.audits.reading import run, run_file
from rca_lib.audits.spelling import (
    BLANK,
    HIDDEN,
    JOINERS,
    PLAIN_ID,
    SELECTORS,
    choose_names,
    match_names,
    spelling_key,
)  # fmt: skip

# Columns of one family share their names. People's pseudonyms may differ by case alone, so theirs is kept.
FAMILIES = {
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
KEEPS_CASE = ("people", "coder", "code", "version")
FAMILY_OF = {name: family for family, names in FAMILIES.items() for name in names}
OTHER_SPELLING, NO_VALUE, AS_A_SET = (
    "{}: other spellings of one name",
    "{}: words for no value",
    "{}: notations of a set",
)
LISTED = 12


@dataclass(slots=True)
class Notes:
    """What a person should look at: (sentence, rows, suggestion)."""

    notes: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, sentence: str, rows: int, suggestion: str) -> None:
        """Add a note."""
        self.notes.append((sentence, rows, suggestion))


def declare_texts(engine: duckdb.DuckDBPyConnection) -> None:
    """Create the macros of `spelling.sql` from the constants of `spelling`."""
    translated = f"translate(v, {quote(''.join(map(chr, PLAIN_ID)))}, {quote(''.join(PLAIN_ID.values()))})"
    ends = f"^[ {JOINERS}{SELECTORS}]+|[ {JOINERS}]+$"
    run(
        engine,
        f"create macro hidden_signs() as {quote(f'[{HIDDEN}]+')}; "
        f"create macro blank_signs() as {quote(f'[{BLANK}]+')}; create macro unseen_ends() as {quote(ends)}; "
        f"create macro typed_signs(v) as {translated}",
    )
    run_file(engine, "spelling.sql")


def settle_names(engine: duckdb.DuckDBPyConnection, plan: Plan, mapping: Mapping) -> Notes:
    """Create the view `texts` over the view `written`: names in the place of their spellings; and `label`, `truth` …

    Returns
    -------
    Notes
        The words that look like no value, and names that may be one.
    """
    notes = Notes()
    mapped = [name for name in FAMILY_OF if name in plan.places]
    found = _count_spellings(engine, mapped)
    readings = []
    for family, columns in FAMILIES.items():
        counts = {name: Counter({value: rows for column, value, rows in found if column == name}) for name in columns}
        total = sum(counts.values(), Counter())
        read = _read_labels(total, mapping) if family == "label" else _read_names(family, total, mapping)
        readings += [(family, *reading) for reading in read]
        _doubt(notes, family, counts, {spelling: name for spelling, name, _ in read})
    table = pd.DataFrame(readings, columns=["family", "spelling", "name", "mark"], dtype=object)
    engine.register("readings_frame", table.astype("string"))
    run(engine, "create table readings as from readings_frame")
    _create_texts(engine, mapped, {family for family, *_ in readings})
    return notes


def _count_spellings(engine: duckdb.DuckDBPyConnection, mapped: Sequence[str]) -> list[tuple[str, str, int]]:
    if not mapped:  # a side table may have no names
        return []
    pairs = ", ".join(f"t_{name} as {name}" for name in mapped)
    return engine.execute(
        f"select name, value, count(*) from (select {pairs} from written) "
        f"unpivot (value for name in ({', '.join(mapped)})) group by all order by all"
    ).fetchall()


def _create_texts(engine: duckdb.DuckDBPyConnection, mapped: Sequence[str], changed: set[str]) -> None:
    """Join the readings to the columns whose family has any."""
    joined = [name for name in mapped if FAMILY_OF[name] in changed]
    new = {name: f"case when r_{name}.spelling is null then t_{name} else r_{name}.name end" for name in joined}
    labels = {name: new.get(name, f"t_{name}") for name in FAMILIES["label"]}
    missing = f"= {quote(NO_VALUE)}"
    names = [f"{text} as t_{name}" for name, text in new.items() if name not in labels]
    names += [f"case when r_{n}.mark {missing} then null else t_{n} end as t_{n}" for n in labels if n in joined]
    marks = [f"replace(r_{name}.mark, '{{}}', '{name}')" for name in joined]
    alone = f"w_label <> w_truth and ({labels['label']}) = ({labels['truth']})"
    marks.append(f"case when {alone} then {quote(BY_SPELLING)} end")
    replaced = f"replace ({', '.join(names)})" if names else ""
    added = ", ".join(f"{text} as {name}" for name, text in labels.items())
    joins = " ".join(
        f"left join (from readings where family = '{FAMILY_OF[name]}') as r_{name} on r_{name}.spelling = t_{name}"
        for name in joined
    )
    kept = f"select written.* exclude (marks, w_label, w_truth) {replaced}, {added}"
    listed = f"list_concat(marks, [{', '.join(marks)}]::varchar[])"
    listed = f"list_filter({listed}, lambda mark: mark is not null) as marks"
    run(engine, f"create view texts as {kept}, {listed} from written {joins}")


def _read_names(family: str, spellings: Counter[str], mapping: Mapping) -> list[tuple[str, str | None, str | None]]:
    """Return what is read where a spelling is not the name itself."""
    fold_case = family not in KEEPS_CASE
    wanted = {old: new for name in FAMILIES[family] for old, new in mapping.values.get(name, {}).items()}
    translated = {old: wanted[key] for old, key in match_names(spellings, wanted, fold_case=fold_case).items()}
    own = names_of_people(mapping.nulls) if family == "people" else frozenset()
    empty = {
        text for text in spellings if text not in translated and text.lower() not in own and _is_empty(text, mapping)
    }
    names = Counter()
    for text, rows in spellings.items():
        if text not in empty:
            names[translated.get(text, text)] += rows
    zones = mapping.site_time_zones if family == "site" and isinstance(mapping.site_time_zones, dict) else {}
    folded = choose_names(names, {*wanted.values(), *zones}, fold_case=fold_case)
    read: list[tuple[str, str | None, str | None]] = [(text, None, NO_VALUE) for text in sorted(empty)]
    for text in sorted(set(spellings) - empty):
        name = translated.get(text, text)
        if text != (final := folded.get(name, name)):
            read.append((text, final, OTHER_SPELLING if final != wanted.get(text) else None))
    return read


def _read_labels(spellings: Counter[str], mapping: Mapping) -> list[tuple[str, str | None, str | None]]:
    """As `_read_names`, for labels: with the label map, as sets where the scale has them; null where not known."""
    known = mapping.known_labels
    wanted = {label: label for label in known} | mapping.labels
    is_set = mapping.label_scale == "multilabel"
    whole = match_names(spellings, wanted)
    parts = {
        text: (text,) if text in whole or not is_set else parse_label_set(text, wanted)
        for text in spellings
        if text in whole or not _is_empty(text, mapping)
    }
    every = Counter()
    for text, rows in spellings.items():
        every.update(dict.fromkeys(parts.get(text, ()), rows))
    matched = match_names(every, wanted)
    spelled = {part: wanted[matched[part]] if part in matched else None if known else part for part in every}
    used = Counter()
    for part, label in spelled.items():
        used.update({label: every[part]} if label else {})
    folded = choose_names(used, {*known, *mapping.benign})
    read: list[tuple[str, str | None, str | None]] = []
    for text in sorted(spellings):
        if not parts.get(text):
            read.append((text, None, NO_VALUE))
            continue
        labels = [spelled[part] for part in parts[text]]
        names = None if None in labels else [folded.get(label, label) for label in labels]
        name = names and (write_label_set(names) if is_set else names[0])
        if name != text:
            read.append((text, name, _mark_label(text, name, wanted, is_set)))
    return read


def _mark_label(text: str, name: str | None, wanted: dict[str, str], is_set: bool) -> str | None:
    if name is None or name == wanted.get(text):
        return None
    return AS_A_SET if is_set and spelling_key(name) != spelling_key(text) else OTHER_SPELLING


def _is_empty(text: str, mapping: Mapping) -> bool:
    return is_nothing(text) or spelling_key(text) in {spelling_key(word) for word in mapping.nulls}


def _doubt(notes: Notes, family: str, counts: dict[str, Counter[str]], read: dict[str, str | None]) -> None:
    """Note names that look like no value, and names that are one but for case or punctuation."""
    for column in FAMILIES[family] if family in ("label", "people", "site") else ():
        words = {read.get(text, text): 0 for text in counts[column] if looks_like_nothing(read.get(text, text) or "")}
        for text, rows in counts[column].items():
            if read.get(text, text) in words:
                words[read.get(text, text)] += rows
        if words:
            hint = "add it to nulls in the mapping if it means no value"
            notes.add(f"{column}: {_list(words)} may stand for no value and is kept", sum(words.values()), hint)
    total = Counter()
    for text, rows in sum(counts.values(), Counter()).items():
        if (name := read.get(text, text)) is not None:
            total[name] += rows
    alike: dict[str, list[str]] = {}
    for name in sorted(total):
        bare = "".join(sign for sign in spelling_key(name) if sign.isalnum())
        alike.setdefault(bare or name, []).append(name)
    pairs = [group for group in alike.values() if len(group) > 1]
    if pairs:
        rows = sum(total[name] for group in pairs for name in group)
        first = _list({name: total[name] for name in max(pairs, key=lambda group: sum(total[name] for name in group))})
        more = f" and {len(pairs) - 1} more such groups" if len(pairs) > 1 else ""
        how = "labels" if family == "label" else "values"
        column = " and ".join(FAMILIES[family][:2])
        hint = f"bring them to one spelling under {how} in the mapping if they are the same"
        notes.add(f"{column}: {first}{more} differ by case or punctuation alone and are kept apart", rows, hint)


def _list(words: dict[str, int]) -> str:
    shown = [f"{word!r} ({rows:,})" for word, rows in list(words.items())[:LISTED]]
    more = f" and {len(words) - LISTED} more" if len(words) > LISTED else ""
    return ", ".join(shown) + more
