"""A corrected quarantine gives the same store as a correct export."""

import json

import openpyxl
import pandas as pd
import pytest

from rca_lib.batch.batch_run import plan_batch
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest
from rca_lib.intake.ledger import read_ledger
from rca_lib.intake.quarantine_corrections import EXPORT_ROWS_FILE, is_quarantine_file

MAPPING = ColumnMapping(time_zone="Europe/Lisbon", labels={"Hate": "hate", "OK": "benign"}, delimiter=";", header_row=2)
SITES = (("Köln", 500), ("Lisbon", 600))


def make_rows(rows: int = 30) -> pd.DataFrame:
    """Audits whose date order follows from one row only, 25 January."""
    return pd.DataFrame(
        {
            "audit_id": [f"A{n:03d}" for n in range(rows)],
            "item_id": [f"I{n}" for n in range(rows)],
            "site": ["Lisbon" if n % 2 else "Köln" for n in range(rows)],
            "rater": [f"R{n % 5}" for n in range(rows)],
            "decided_at": [f"{25 if n == 0 else 1 + n % 12:02d}/01/2026 10:{n:02d}" for n in range(rows)],
            "label": ["Hate" if n % 4 == 0 else "OK" for n in range(rows)],
            "truth": "OK",
            "stratum": ["s1" if n % 3 else "s2" for n in range(rows)],
            "comment": ["=1+1" if n == 7 else f"c{n}" for n in range(rows)],
        }
    )


def write_export(path, rows: pd.DataFrame):
    path.write_text("Export of audits\n" + rows.to_csv(index=False, sep=";"), encoding="cp1252")
    return path


def corrupt(rows: pd.DataFrame) -> pd.DataFrame:
    """Corrupt four rows, each for another reason, and duplicate one."""
    corrupted = rows.copy()
    corrupted.loc[3, "truth"] = "Okay"
    corrupted.loc[7, "decided_at"] = "soon"
    corrupted.loc[8, "site"] = ""
    corrupted.loc[11, "audit_id"] = "A010"
    return pd.concat([corrupted, corrupted.iloc[[20]]], ignore_index=True)


def correct(quarantine: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Write the correct values into the rows of a quarantine."""
    corrected = quarantine.copy()
    for index, number in enumerate(quarantine["source_row"].astype(int) - 3):
        corrected.loc[index, list(rows)] = rows.loc[number].where(rows.loc[number] != "=1+1", "'=1+1")
    return corrected


def read_parquet_bytes(store) -> dict[str, bytes]:
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in sorted(store.rglob("*.parquet"))}


def read_quarantine(store) -> pd.DataFrame:
    return pd.read_csv(store / "quarantine.csv", dtype=str, keep_default_na=False)


@pytest.fixture
def export_folder(tmp_path):
    """A store of the corrupted export, and one of the correct export for comparison."""
    rows = make_rows()
    ingest(write_export(tmp_path / "a.csv", corrupt(rows)), tmp_path / "store", mapping=MAPPING)
    (tmp_path / "right").mkdir()
    corrected = pd.concat([rows, rows.iloc[[20]]], ignore_index=True)
    ingest(write_export(tmp_path / "right" / "a.csv", corrected), tmp_path / "right" / "store", mapping=MAPPING)
    return tmp_path


def test_a_corrected_quarantine_gives_the_store_of_a_correct_export(export_folder):
    store = export_folder / "store"
    before = read_ledger(store)
    assert (before.rows_read, before.kept, before.quarantined, before.exact_duplicates) == (31, 25, 5, 1)
    correct(read_quarantine(store), make_rows()).to_csv(export_folder / "corrected.csv", index=False)
    ledger = ingest(export_folder / "corrected.csv", store, mapping=MAPPING)
    assert (ledger.rows_read, ledger.kept, ledger.quarantined, ledger.exact_duplicates) == (31, 30, 0, 1)
    assert read_parquet_bytes(store) == read_parquet_bytes(export_folder / "right" / "store")
    assert ledger.source == "a.csv" and ledger.sha256 == before.sha256
    # Rows A003, A007, A008 and A011: A010 was correct, but shared its id with A011.
    assert dict(ledger.repairs)["corrected in the quarantine file"] == 4
    assert read_quarantine(store).empty


def test_population_weights_equal_those_of_a_correct_export(export_folder):
    lines = ["period,site,stratum,decisions"]
    lines += [
        f"2026-01,{site},{part},{100 * n + 500}" for n, site in enumerate(("Köln", "Lisbon")) for part in ("s1", "s2")
    ]
    population = export_folder / "p.csv"
    population.write_text("\n".join(lines))
    ingest(export_folder / "a.csv", export_folder / "store", mapping=MAPPING, population=population)
    correct(read_quarantine(export_folder / "store"), make_rows()).to_csv(export_folder / "c.csv", index=False)
    ingest(export_folder / "c.csv", export_folder / "store", mapping=MAPPING, population=population)
    ingest(export_folder / "right" / "a.csv", export_folder / "right" / "store", mapping=MAPPING, population=population)
    assert read_parquet_bytes(export_folder / "store") == read_parquet_bytes(export_folder / "right" / "store")


def test_a_part_of_the_quarantine_can_be_ingested_and_again_without_effect(export_folder):
    store = export_folder / "store"
    corrected = correct(read_quarantine(store), make_rows())
    corrected.iloc[:2].to_csv(export_folder / "first.csv", index=False)
    ledger = ingest(export_folder / "first.csv", store, mapping=MAPPING)
    assert (ledger.rows_read, ledger.kept, ledger.quarantined) == (31, 27, 3)
    assert ingest(export_folder / "first.csv", store, mapping=MAPPING) == ledger
    corrected.to_csv(export_folder / "all.csv", index=False)
    assert ingest(export_folder / "all.csv", store, mapping=MAPPING).kept == 30
    assert read_parquet_bytes(store) == read_parquet_bytes(export_folder / "right" / "store")
    # The export itself keeps the corrections if it is ingested again.
    assert ingest(export_folder / "a.csv", store, mapping=MAPPING).kept == 30


def test_rows_that_stay_wrong_stay_in_quarantine(export_folder):
    store = export_folder / "store"
    corrections = read_quarantine(store).assign(site="Faro")
    corrections.to_csv(export_folder / "c.csv", index=False)
    ledger = ingest(export_folder / "c.csv", store, mapping=MAPPING)
    assert (ledger.rows_read, ledger.kept, ledger.quarantined) == (31, 26, 4)
    assert set(read_quarantine(store)["source_row"]) < set(corrections["source_row"])


def test_labels_added_to_the_mapping_are_enough(export_folder):
    mapping = MAPPING.model_copy(update={"labels": MAPPING.labels | {"Okay": "benign"}})
    ledger = ingest(export_folder / "store" / "quarantine.csv", export_folder / "store", mapping=mapping)
    assert (ledger.rows_read, ledger.kept) == (31, 26)


@pytest.mark.parametrize("kind", ["semicolons", "workbook"])
def test_a_quarantine_that_excel_saved_is_read(export_folder, kind):
    corrected = correct(read_quarantine(export_folder / "store"), make_rows())
    path = export_folder / ("c.xlsx" if kind == "workbook" else "c.csv")
    if kind == "workbook":
        book = openpyxl.Workbook()
        for row in [list(corrected), *corrected.astype({"source_row": int}).astype(object).to_numpy().tolist()]:
            book.active.append([str(cell) if isinstance(cell, str) else cell for cell in row])
        book.save(path)
    else:
        path.write_text(corrected.to_csv(index=False, sep=";"), encoding="cp1252")
    assert is_quarantine_file(path)
    ingest(path, export_folder / "store", mapping=MAPPING)
    assert read_parquet_bytes(export_folder / "store") == read_parquet_bytes(export_folder / "right" / "store")


def test_the_quarantine_of_another_export_is_rejected_and_the_store_stays(export_folder):
    store = export_folder / "store"
    before = read_parquet_bytes(store)
    other_rows = make_rows().assign(
        audit_id=[f"B{n}" for n in range(30)], item_id="J", rater="Q", comment="d", decided_at="25/01/2026 11:00"
    )
    ingest(write_export(export_folder / "b.csv", corrupt(other_rows)), export_folder / "other", mapping=MAPPING)
    own = read_quarantine(store)
    cases = {
        "a row is not that of a.csv": read_quarantine(export_folder / "other"),
        "the columns differ": own.drop(columns="comment"),
        "a source_row is not in a.csv": own.assign(source_row="999", audit_id=own["audit_id"]).iloc[:1],
        "a source_row occurs twice": pd.concat([own, own]),
        "a source_row is not a number": own.assign(source_row=""),
    }
    for message, corrections in cases.items():
        corrections.to_csv(export_folder / "c.csv", index=False)
        with pytest.raises(DataError, match=message) as error_info:
            ingest(export_folder / "c.csv", store, mapping=MAPPING)
        assert error_info.value.hint
        assert read_parquet_bytes(store) == before


def test_another_export_replaces_the_store_and_notes_that_corrections_do_not_apply(export_folder):
    store = export_folder / "store"
    correct(read_quarantine(store), make_rows()).to_csv(export_folder / "c.csv", index=False)
    ingest(export_folder / "c.csv", store, mapping=MAPPING)
    ledger = ingest(write_export(export_folder / "b.csv", make_rows(12)), store, mapping=MAPPING)
    assert ledger.kept == 12
    assert [rows for what, rows, _ in ledger.notes if "do not apply" in what] == [4]


def test_an_older_store_without_export_rows_asks_for_the_export(export_folder):
    (export_folder / "store" / EXPORT_ROWS_FILE).unlink()
    with pytest.raises(DataError, match="ingest the export again"):
        ingest(export_folder / "store" / "quarantine.csv", export_folder / "store", mapping=MAPPING)


def test_a_batch_adds_corrected_audits_to_its_store(tmp_path):
    (tmp_path / "m.yml").write_text("time_zone: UTC\nlabels: {Hate: hate, OK: benign}\ndate_order: dmy\n")
    corrupt(make_rows()).to_csv(tmp_path / "a.csv", index=False)
    batch = tmp_path / "b.yml"
    batch.write_text(json.dumps({"batch": "week", "data": str(tmp_path / "a.csv"), "mapping": str(tmp_path / "m.yml")}))
    reports = tmp_path / "reports"
    assert plan_batch(batch, reports=reports).ledger.kept == 25
    store = reports / "week" / "_audits"
    quarantine = read_quarantine(store)
    quarantine.loc[quarantine["truth"] == "Okay", "truth"] = "OK"
    quarantine.to_csv(tmp_path / "corrected.csv", index=False)
    for _ in range(2):  # a second time changes nothing
        ledger = plan_batch(batch, data=tmp_path / "corrected.csv", reports=reports).ledger
        assert (ledger.rows_read, ledger.kept, ledger.quarantined) == (31, 26, 4)
    assert plan_batch(batch, reports=reports).ledger.kept == 26
    assert plan_batch(batch, reports=reports, force=True).ledger.kept == 26
    with pytest.raises(DataError, match="the quarantine of an export that this batch has not ingested"):
        plan_batch(batch, data=tmp_path / "corrected.csv", reports=tmp_path / "elsewhere")
