"""A quarantine that a person corrected is fed again: its rows take their places among those of the export.

A store keeps the rows of its export as they were read, in one file beside the audits. Corrected rows replace theirs by
`source_row`, and all rows are judged anew, so that the store is the same as if the export had been right: duplicates,
weights and conventions of the file included.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from rca_lib.audits.file_kinds import WORKBOOKS, is_database, read_start
from rca_lib.audits.mapping import EXTRA_OF_QUARANTINE, Mapping, quote
from rca_lib.audits.reading import Source, run, run_file
from rca_lib.audits.workbooks import read_workbook
from rca_lib.findings import DataError

ROWS = "export_rows"  # a Parquet file
SAME_ROW = 0.5  # share of equal cells from which a row is the corrected form of another
MARK = "corrected in the quarantine file"
ELSEWHERE = "feed it with the store of its own export; or take that export in first"


def is_quarantine(source: Any) -> bool:
    """Whether a source is a quarantine file, by its last three columns: source_row, reason, suggestion."""
    if isinstance(source, pd.DataFrame):
        return tuple(source.columns[-3:]) == EXTRA_OF_QUARANTINE
    if source is None or hasattr(source, "cursor") or not Path(source).is_file():
        return False
    start = read_start(Path(source))
    if is_database(start):
        return False
    if start.startswith(WORKBOOKS):
        try:
            return read_workbook(Path(source), Mapping(header_row=1)).names[-3:] == EXTRA_OF_QUARANTINE
        except DataError:
            return False  # the reader of the export says what is wrong
    with Path(source).open("rb") as handle:
        header = handle.readline(1 << 20).decode("utf-8", "replace")
    parts = [part.strip(' "\r\n\ufeff') for part in header.replace(";", ",").replace("\t", ",").split(",")]
    return tuple(parts[-3:]) == EXTRA_OF_QUARANTINE


def read_as_written(mapping: Mapping) -> Mapping:
    """Return how a quarantine file is read: this package wrote it, however the export was written."""
    how = ("encoding", "delimiter", "quote", "escape", "sheet", "query")
    return mapping.model_copy(update=dict.fromkeys(how) | {"header_row": 1})


def write_rows(engine: duckdb.DuckDBPyConnection, read: Source, path: Path) -> None:
    """Write the rows of an export as they were read, with what else is known of it."""
    about = {
        "name": read.name, "sha256": read.sha256, "names": read.names, "repairs": read.repairs, "decimal": read.decimal,
        "epoch": read.epoch, "number_texts": sorted(read.number_texts), "typed_days": list(read.typed_days.items()),
    }  # fmt: skip
    text = quote(json.dumps(about, ensure_ascii=False))
    run(
        engine,
        "create table if not exists corrected (row bigint); "
        f"copy (select raw.*, row in (from corrected) as is_corrected from raw order by row) to {quote(str(path))} "
        f"(format parquet, compression zstd, kv_metadata {{about: {text}}})",
    )


def _read_about(engine: duckdb.DuckDBPyConnection, rows: Path) -> Source:
    query = f"select decode(value) from parquet_kv_metadata({quote(str(rows))}) where decode(key) = 'about'"
    about = json.loads(engine.sql(query).fetchall()[0][0])
    for name in ("names", "repairs"):
        about[name] = tuple(about[name])
    about["number_texts"] = frozenset(about["number_texts"])
    about["typed_days"] = dict(about["typed_days"])
    return Source(**about)


def merge_corrections(engine: duckdb.DuckDBPyConnection, fed: Source, rows: Path) -> Source:
    """Put the rows of a corrected quarantine, in `raw`, in their places among all rows of their export.

    Parameters
    ----------
    engine
        It has the rows of the quarantine file as `raw`; afterwards those of the export, the corrected ones among them.
    fed
        The quarantine file.
    rows
        The file of the store with the rows of the export.

    Returns
    -------
    Source
        The export.

    Raises
    ------
    DataError
        If the quarantine is of another export: its columns differ, a source_row is none of the export's or stands
        twice, or less than half of the cells of a row are those of the export's row.
    """
    export = _read_about(engine, rows)
    run_file(engine, "formulas.sql")
    plain = [name[1:] if name.startswith("'") and name[1:] in export.names else name for name in fed.names[:-3]]
    if sorted(plain) != sorted(export.names):
        missing = [name for name in export.names if name not in plain] or [n for n in plain if n not in export.names]
        problem = f"{fed.name} is no quarantine of {export.name}: the columns differ"
        raise DataError(problem, column=missing[0] if missing else None, mend=ELSEWHERE)
    cells = ", ".join(f"unescape_formula(c{plain.index(name)}) as c{n}" for n, name in enumerate(export.names))
    number = f"try_cast(trim(c{len(plain)}) as bigint)"
    run(
        engine,
        f"create table fed as select row as line, {number} as row, c{len(plain)} as source_row, {cells} from raw",
    )
    run(engine, f"create table base as from read_parquet({quote(str(rows))})")
    _refuse_rows_of_others(engine, fed, export)
    listed = ", ".join(f"c{n}" for n in range(len(export.names)))
    changed = " or ".join(
        f"nullif(fed.c{n}, '') is distinct from nullif(base.c{n}, '')" for n in range(len(export.names))
    )
    run(
        engine,
        f"create table changes as select fed.row, {', '.join(f'fed.c{n}' for n in range(len(export.names)))} "
        f"from fed join base using (row) where {changed}; "
        "create table corrected as select row from base where is_corrected union select row from changes; "
        "drop view raw; "
        f"create view raw as select row, rejected, {listed} from base where row not in (select row from changes) "
        f"union all select row, null, {listed} from changes",
    )
    return export


def _refuse_rows_of_others(engine: duckdb.DuckDBPyConnection, fed: Source, export: Source) -> None:
    def refuse(problem: str, query: str, mend: str) -> None:
        found = engine.sql(f"{query} order by all").fetchall()
        if found:
            first = {"row of the file": found[0][0], "source_row": found[0][1]}
            raise DataError(f"{fed.name}: {problem}", column="source_row", rows=len(found), first=first, mend=mend)

    refuse("a source_row is no number", "select line, source_row from fed where row is null", "restore the column")
    twice = "select max(line), row from fed group by row having count(*) > 1"
    refuse("a source_row stands twice", twice, "keep one row of each")
    absent = "select line, row from fed where row not in (select row from base)"
    refuse(f"a source_row is none of {export.name}", absent, ELSEWHERE)
    pairs = [f"(fed.c{n}, base.c{n})" for n in range(len(export.names))]
    filled = " + ".join(f"(coalesce({pair[1:-1]}) is not null)::int" for pair in pairs)
    equal = " + ".join(f"coalesce(fed.c{n} = base.c{n}, false)::int" for n in range(len(export.names)))
    other = f"select line, row from fed join base using (row) where ({equal}) < {SAME_ROW} * ({filled})"
    refuse(f"a row is not that of {export.name}", other, ELSEWHERE)


def apply_again(engine: duckdb.DuckDBPyConnection, read: Source, rows: Path) -> tuple[Source, int]:
    """Apply the corrections that a store holds to the same export, which was read again.

    Returns
    -------
    Source, int
        The export; and how many rows were corrected of another export that stood there, and are not applied to this.
    """
    export = _read_about(engine, rows)
    scan = f"read_parquet({quote(str(rows))})"
    ((corrected,),) = engine.sql(f"select count(*) from {scan} where is_corrected").fetchall()
    if not corrected or export.sha256 != read.sha256 or export.names != read.names:
        return read, corrected
    listed = ", ".join(f"c{n}" for n in range(len(read.names)))
    run(
        engine,
        f"create table base as select row, rejected, {listed} from raw; "
        f"create table changes as select row, rejected, {listed} from {scan} where is_corrected; "
        "create table corrected as select row from changes; drop view raw; "
        "create view raw as from base where row not in (from corrected) union all from changes",
    )
    return read, 0
