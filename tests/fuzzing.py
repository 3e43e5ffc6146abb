"""Exports, mappings, events and batch files with random faults, and what must hold of the intake whatever they are.

`python tests/fuzzing.py --cases 2000 --seed 7` runs more of them than the tests do (`make fuzz`).
"""

from __future__ import annotations

import argparse
import codecs
import csv
import io
import re
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import duckdb
import yaml
from typer.testing import CliRunner

from rca_lib.cli import app
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import read_mapping
from rca_lib.intake.ingest import ingest
from rca_lib.intake.ledger import Ledger

COLUMNS = (
    "audit_id", "item_id", "site", "rater", "decided_at", "label", "truth", "policy", "queue", "stream", "weight",
    "tenure_days", "handle_seconds", "comment",
)  # fmt: skip
COMPARED = ("item_id", "site", "rater", "label", "truth", "policy", "queue")
MAPPING = {"time_zone": "UTC", "date_order": "ymd", "decimal": "."}
BATCH = {
    "batch": "fuzz",
    "data": "audits.csv",
    "mapping": "mapping.yml",
    "events": "events.csv",
    "targets": "targets.csv",
}
EVENTS = "event_id,type,start,end,scope,title\ne1,policy_update,2026-02-03,,policy=hate,New rules\n"
TARGETS = "metric,scope,contract\naccuracy,,0.9\n"
NASTY = (
    "", " ", "\u200b", "\ufeff", "\u00a0", "NULL", "null", "NaN", "#REF!", "#N/A", "\\N", "(blank)", "None", "-",
    "?", "=1+1", "+1", "@SUM(A1)", "\t=1", "\n=1", "＝1", "'", '"', '"a', 'a"', '""', ",", ";", "|", "\\", "\\\"",
    "\x00", "\x1b[31m", "\u202e", "e\u0301", "é", "ﬁ", "Ｈate", "hate ", "Hate", "HATE", "ha\u00adte", "h\u200bate",
    "1", "1.0", "01", "1e5", "1.23E+15", "inf", "-inf", "1e400", "99999999999999999999", "-1", "0", "1e-300", "1,5",
    "1.234,5", "1 250,50", "50%", "12:30", "99:99", "26:15:00", "00:01:30.500", "1 days 06:00:00", "2026-02-30",
    "2099-01-01", "01/02/2026", "2026-W05", "20260105093000", "1767225600", "46023.5", "05-Jan-2026",
    "Jan 5, 2026 3:04 PM", "2026-01-05T10:00:00+05:30", "2026-01-05T10:00:00", "TRUE", "true", "$x_1$",
    "<script>alert(1)</script>", "../../etc", "/", "CON", "x" * 5000, "日本語", "😀", "a\nb", "a\r\nb", "[\"a\"]",
    "{a,b}", "{\"choices\": [\"a\"]}", "a;b", "%", "%s", "{}", "{0}",
)  # fmt: skip
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1", "cp1250", "cp932", "mac_roman", "utf-32", "utf-16-be")
QUOTES = str.maketrans("", "", "'\"\\")
INVISIBLE = re.compile(r"[\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\x00-\x1f\x7f]+")


@dataclass
class Export:
    """An export in the making: its rows of text, how it is written, and whether its records can still be counted."""

    rows: list[list[str]]
    delimiter: str = ","
    quoting: int = csv.QUOTE_MINIMAL
    terminator: str = "\r\n"
    encoding: str = "utf-8"
    above: list[str] = field(default_factory=list)
    damage: Callable[[bytes], bytes] = lambda content: content
    countable: bool = True

    def write(self) -> bytes:
        """Return the bytes of the file."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.delimiter, quoting=self.quoting, lineterminator=self.terminator)
        writer.writerows([COLUMNS, *self.rows])
        lines = "".join(f"{line}{self.terminator}" for line in self.above)
        return self.damage((lines + text.getvalue()).encode(self.encoding, "replace"))


def base_rows(random: Random, count: int = 40) -> list[list[str]]:
    """Return rows without a fault."""
    labels = ("benign", "hate", "spam")
    return [
        [f"a{n}", f"i{n}", ("lisbon", "manila")[n % 2], f"r{n % 7}",
         f"2026-0{1 + n % 2}-{1 + n % 27:02d} 10:{n % 60:02d}:00",
         *random.choices(labels, k=3),
         ("text", "video")[n % 3 % 2], "random", ("1", "2.5")[n % 2], str(10 * n), str(20 + n), f"comment {n}"]
        for n in range(count)
    ]  # fmt: skip


# mutations of an export ----------------------------------------------------------------------------------------------


def _change_cell(export: Export, random: Random) -> None:
    row = random.choice(export.rows)
    row[random.randrange(len(row))] = random.choice(NASTY)


def _change_column(export: Export, random: Random) -> None:
    column, value = random.randrange(len(COLUMNS)), random.choice(NASTY)
    for row in random.sample(export.rows, random.randint(1, len(export.rows))):
        if column < len(row):
            row[column] = value


def _shorten_row(export: Export, random: Random) -> None:
    row = random.choice(export.rows)
    del row[random.randint(0, len(row)) :]


def _lengthen_row(export: Export, random: Random) -> None:
    random.choice(export.rows).extend(random.choice(NASTY) for _ in range(random.randint(1, 3)))


def _repeat_row(export: Export, random: Random) -> None:
    export.rows.insert(random.randrange(len(export.rows)), list(random.choice(export.rows)))


def _insert_row(export: Export, random: Random) -> None:
    row = random.choice(([], [""] * len(COLUMNS), list(COLUMNS), ["Total", *[""] * (len(COLUMNS) - 1)], ["--"]))
    export.rows.insert(random.randrange(len(export.rows) + 1), list(row))


def _shuffle(export: Export, random: Random) -> None:
    random.shuffle(export.rows)


def _write_otherwise(export: Export, random: Random) -> None:
    export.delimiter = random.choice(",;\t|")
    export.quoting = random.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))
    export.terminator = random.choice(("\n", "\r\n"))
    export.encoding = random.choice(ENCODINGS)


def _put_title_above(export: Export, random: Random) -> None:
    export.above = [random.choice(("Export of audits", "", "Site: all", "=1+1")) for _ in range(random.randint(1, 3))]


def _damage_bytes(export: Export, random: Random) -> None:
    seed = random.random()

    def damage(content: bytes) -> bytes:
        chance, changed = Random(seed), bytearray(content)
        for _ in range(chance.randint(1, 5)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        return bytes(changed[: chance.randint(1, len(changed))] if chance.random() < 0.3 else changed)

    export.damage, export.countable = damage, False


MUTATIONS = (
    _change_cell, _change_cell, _change_cell, _change_column, _shorten_row, _lengthen_row, _repeat_row, _insert_row,
    _shuffle, _write_otherwise, _put_title_above, _damage_bytes,
)  # fmt: skip


def mutate_export(random: Random) -> Export:
    """Return an export with one to four faults."""
    export = Export(base_rows(random))
    for mutation in random.choices(MUTATIONS, k=random.randint(1, 4)):
        mutation(export, random)
    return export


# what must hold ------------------------------------------------------------------------------------------------------


def fold(text: object) -> str:
    """Return what is left of a text where typography does not count."""
    plain = unicodedata.normalize("NFKC", str(text)).casefold()
    plain = re.sub(r"[\u2010-\u2015\u2212]", "-", plain).translate(str.maketrans("‘’‚“”„«»", "''''''''"))
    return INVISIBLE.sub("", plain).translate(QUOTES).removesuffix(".0")


def check_intake(export: Export, folder: Path, mapping: dict[str, object] | None = None) -> list[str]:
    """Take an export in and return what is wrong with the result; an error that is told rightly is not."""
    home = folder / "home"
    home.mkdir()
    content = export.write()
    (home / "audits.csv").write_bytes(content)
    (home / "mapping.yml").write_text(yaml.safe_dump(MAPPING if mapping is None else mapping))
    before = _list_files(folder)
    try:
        ledger = ingest(home / "audits.csv", home / "store", mapping=read_mapping(home / "mapping.yml"))
    except DataError as problem:
        return [] if problem.hint else [f"no hint: {problem}"]
    except Exception as problem:  # noqa: BLE001 - whatever else is raised is the fault that is looked for
        return [f"{type(problem).__name__}: {problem}"]
    wrong = [f"written outside the store: {path}" for path in _list_files(folder) - before if "home/store/" not in path]
    return [*wrong, *_check_ledger(ledger, export), *_check_rows(export, content, home / "store", ledger)]


def _check_ledger(ledger: Ledger, export: Export) -> list[str]:
    parts = ledger.kept + ledger.quarantined + ledger.exact_duplicates + ledger.empty
    wrong = [] if ledger.rows_read == parts else [f"the ledger does not add up: {ledger.rows_read} rows, {parts} parts"]
    written = sum(1 for row in export.rows if row)
    if export.countable and not written <= ledger.rows_read <= len(export.rows):
        wrong.append(f"{written} to {len(export.rows)} rows were written, {ledger.rows_read} read")
    return wrong


def _check_rows(export: Export, content: bytes, store: Path, ledger: Ledger) -> list[str]:
    """Every kept value stands in the export, and a row is an error only where label and truth differ."""
    files = [str(path) for path in store.glob("site=*/month=*/audits.parquet")]
    names = [name for name in (*COMPARED, "audit_id", "error") if name in ledger.columns or name == "error"]
    kept = duckdb.sql(
        f"select {', '.join(names)} from read_parquet({files}, hive_partitioning=false, union_by_name=true)"
    )
    text = fold("".join(_decode(content)))
    rows = [[cell.encode(export.encoding, "replace").decode(export.encoding) for cell in row] for row in export.rows]
    cells = {fold(row[0]): row for row in rows if row} if export.countable else {}
    wrong = []
    for row in (dict(zip(names, values, strict=True)) for values in kept.fetchall()):
        if row["error"] == 1 and fold(row["label"]) == fold(row["truth"]):
            wrong.append(f"spelling counts as an error: {row['label']!r} and {row['truth']!r}")
        for name in COMPARED:
            value = row.get(name)
            if value is None:
                continue
            cell = cells.get(fold(row["audit_id"]))
            index = COLUMNS.index(name)
            if fold(value) not in text or (cell and index < len(cell) and fold(cell[index]) != fold(value)):
                wrong.append(f"{name} of {row['audit_id']!r} is {value!r}, not as written: {cell and cell[index]!r}")
    return wrong


def _decode(content: bytes) -> list[str]:
    texts = [content.decode(name, "ignore") for name in ("utf-8", "cp1252")]
    wide = content[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE) or b"\x00" in content[:20]
    return [
        *texts,
        *(content.decode(name, "ignore") for name in ("utf-16", "utf-16-be", "utf-16-le", "utf-32") if wide),
    ]


def _list_files(folder: Path) -> set[str]:
    return {path.as_posix() for path in folder.rglob("*") if path.is_file()}


# batch files and side tables -----------------------------------------------------------------------------------------


def mutate_text(text: str, random: Random) -> str:
    """Return a text with one to three lines, words or characters changed."""
    for _ in range(random.randint(1, 3)):
        lines = text.split("\n")
        at = random.randrange(len(lines))
        kind = random.randrange(6)
        if kind == 0:
            lines[at] = random.choice(NASTY)
        elif kind == 1:
            lines.insert(at, lines[at])
        elif kind == 2:
            del lines[at]
        elif kind == 3:
            parts = re.split(r"([,:])", lines[at])
            parts[random.randrange(len(parts))] = random.choice(NASTY)
            lines[at] = "".join(parts)
        elif kind == 4:
            lines[at] = lines[at].replace(
                random.choice("aeio-2,:"), random.choice(("", "&x ", "*x", "é", "\t", "?", '"'))
            )
        else:
            lines[at] += random.choice((" # x", ": [", "{", "\x00", "!!python/object:os.system x", "&a [*a, *a]"))
        text = "\n".join(lines) or "x"
    return text


def check_batch(random: Random, folder: Path) -> list[str]:
    """Plan a batch of which one file has faults; return what is wrong with how it ended."""
    export = Export(base_rows(random))
    files = {
        "batch.yml": yaml.safe_dump(BATCH), "mapping.yml": yaml.safe_dump(MAPPING), "events.csv": EVENTS,
        "targets.csv": TARGETS,
    }  # fmt: skip
    chosen = random.choice(list(files))
    files[chosen] = mutate_text(files[chosen], random)
    home = folder / "home"
    home.mkdir()
    (home / "audits.csv").write_bytes(export.write())
    for name, text in files.items():
        (home / name).write_text(text, encoding="utf-8", errors="replace")
    before = _list_files(folder)
    result = CliRunner().invoke(app, ["run", str(home / "batch.yml"), "--list", "--reports", str(folder / "reports")])
    told = isinstance(result.exception, DataError) or type(result.exception) in (SystemExit, ValueError)
    known = result.exception is None or told
    wrong = [] if known else [f"{chosen}: {type(result.exception).__name__}: {result.exception}"]
    outside = [path for path in _list_files(folder) - before if not path.startswith(f"{folder}/reports/")]
    return wrong + [f"{chosen}: written outside the reports: {path}" for path in outside]


def run_case(seed: int) -> list[str]:
    """Run one case; what is wrong begins with its seed."""
    random = Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        wrong = check_intake(mutate_export(random), Path(folder)) if seed % 3 else check_batch(random, Path(folder))
    return [f"seed {seed}: {text[:300]}" for text in wrong[:3]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    wrong = [text for case in range(chosen.cases) for text in run_case(1000 * chosen.seed + case)]
    sys.stdout.write("\n".join([*wrong, f"{chosen.cases} cases, {len(wrong)} wrong"]) + "\n")
    sys.exit(bool(wrong))
