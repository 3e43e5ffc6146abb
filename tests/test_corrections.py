"""Export, quarantine, correction, feeding: in the end the same as if the export had been right."""

import json

import openpyxl
import pandas as pd
import pytest

from rca_lib.audits.corrections import ROWS, is_quarantine
from rca_lib.audits.intake import take_in
from rca_lib.audits.ledger import read_ledger
from rca_lib.audits.mapping import Mapping
from rca_lib.batch.job import plan_batch
from rca_lib.findings import DataError

MAPPING = Mapping(time_zone="Europe/Lisbon", labels={"Hate": "hate", "OK": "benign"}, delimiter=";", header_row=2)
SITES = (("Köln", 500), ("Lisbon", 600))


def make_rows(rows: int = 30) -> pd.DataFrame:
    """Audits whose order of day and month, 25 January, only one of the rows shows."""
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


def spoil(rows: pd.DataFrame) -> pd.DataFrame:
    """Four rows that go to quarantine, each for another reason, and one that copies another."""
    bad = rows.copy()
    bad.loc[3, "truth"] = "Okay"
    bad.loc[7, "decided_at"] = "soon"
    bad.loc[8, "site"] = ""
    bad.loc[11, "audit_id"] = "A010"
    return pd.concat([bad, bad.iloc[[20]]], ignore_index=True)


def correct(quarantine: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Put what is right into the rows of a quarantine."""
    right = quarantine.copy()
    for place, number in enumerate(quarantine["source_row"].astype(int) - 3):
        right.loc[place, list(rows)] = rows.loc[number].where(rows.loc[number] != "=1+1", "'=1+1")
    return right


def content(store) -> dict[str, bytes]:
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in sorted(store.rglob("*.parquet"))}


def read_quarantine(store) -> pd.DataFrame:
    return pd.read_csv(store / "quarantine.csv", dtype=str, keep_default_na=False)


@pytest.fixture
def spoilt(tmp_path):
    """A store of the spoilt export, and one of the right export for comparison."""
    rows = make_rows()
    take_in(write_export(tmp_path / "a.csv", spoil(rows)), tmp_path / "store", mapping=MAPPING)
    (tmp_path / "right").mkdir()
    right = pd.concat([rows, rows.iloc[[20]]], ignore_index=True)
    take_in(write_export(tmp_path / "right" / "a.csv", right), tmp_path / "right" / "store", mapping=MAPPING)
    return tmp_path


def test_a_corrected_quarantine_makes_the_store_of_a_right_export(spoilt):
    store = spoilt / "store"
    before = read_ledger(store)
    assert (before.rows_read, before.kept, before.quarantined, before.exact_duplicates) == (31, 25, 5, 1)
    correct(read_quarantine(store), make_rows()).to_csv(spoilt / "corrected.csv", index=False)
    ledger = take_in(spoilt / "corrected.csv", store, mapping=MAPPING)
    assert (ledger.rows_read, ledger.kept, ledger.quarantined, ledger.exact_duplicates) == (31, 30, 0, 1)
    assert content(store) == content(spoilt / "right" / "store")
    assert ledger.source == "a.csv" and ledger.sha256 == before.sha256
    # Rows A003, A007, A008 and A011: A010 was right, and stood in quarantine for its twin.
    assert dict(ledger.repairs)["corrected in the quarantine file"] == 4
    assert read_quarantine(store).empty


def test_weights_of_the_population_are_those_of_a_right_export(spoilt):
    lines = ["period,site,stratum,decisions"]
    lines += [
        f"2026-01,{site},{part},{100 * n + 500}" for n, site in enumerate(("Köln", "Lisbon")) for part in ("s1", "s2")
    ]
    population = spoilt / "p.csv"
    population.write_text("\n".join(lines))
    take_in(spoilt / "a.csv", spoilt / "store", mapping=MAPPING, population=population)
    correct(read_quarantine(spoilt / "store"), make_rows()).to_csv(spoilt / "c.csv", index=False)
    take_in(spoilt / "c.csv", spoilt / "store", mapping=MAPPING, population=population)
    take_in(spoilt / "right" / "a.csv", spoilt / "right" / "store", mapping=MAPPING, population=population)
    assert content(spoilt / "store") == content(spoilt / "right" / "store")


def test_a_part_of_it_can_be_fed_and_the_same_again(spoilt):
    store = spoilt / "store"
    right = correct(read_quarantine(store), make_rows())
    right.iloc[:2].to_csv(spoilt / "first.csv", index=False)
    ledger = take_in(spoilt / "first.csv", store, mapping=MAPPING)
    assert (ledger.rows_read, ledger.kept, ledger.quarantined) == (31, 27, 3)
    assert take_in(spoilt / "first.csv", store, mapping=MAPPING) == ledger
    right.to_csv(spoilt / "all.csv", index=False)
    assert take_in(spoilt / "all.csv", store, mapping=MAPPING).kept == 30
    assert content(store) == content(spoilt / "right" / "store")
    # The export itself, taken in again, keeps the corrections.
    assert take_in(spoilt / "a.csv", store, mapping=MAPPING).kept == 30


def test_what_stays_wrong_stays_in_quarantine_with_its_row(spoilt):
    store = spoilt / "store"
    fed = read_quarantine(store).assign(site="Faro")
    fed.to_csv(spoilt / "c.csv", index=False)
    ledger = take_in(spoilt / "c.csv", store, mapping=MAPPING)
    assert (ledger.rows_read, ledger.kept, ledger.quarantined) == (31, 26, 4)
    assert set(read_quarantine(store)["source_row"]) < set(fed["source_row"])


def test_labels_added_to_the_mapping_are_enough(spoilt):
    mapping = MAPPING.model_copy(update={"labels": MAPPING.labels | {"Okay": "benign"}})
    ledger = take_in(spoilt / "store" / "quarantine.csv", spoilt / "store", mapping=mapping)
    assert (ledger.rows_read, ledger.kept) == (31, 26)


@pytest.mark.parametrize("kind", ["semicolons", "workbook"])
def test_a_quarantine_that_excel_saved_is_read(spoilt, kind):
    right = correct(read_quarantine(spoilt / "store"), make_rows())
    path = spoilt / ("c.xlsx" if kind == "workbook" else "c.csv")
    if kind == "workbook":
        book = openpyxl.Workbook()
        for row in [list(right), *right.astype({"source_row": int}).astype(object).to_numpy().tolist()]:
            book.active.append([str(cell) if isinstance(cell, str) else cell for cell in row])
        book.save(path)
    else:
        path.write_text(right.to_csv(index=False, sep=";"), encoding="cp1252")
    assert is_quarantine(path)
    take_in(path, spoilt / "store", mapping=MAPPING)
    assert content(spoilt / "store") == content(spoilt / "right" / "store")


def test_the_quarantine_of_another_export_is_refused_and_the_store_stands(spoilt):
    store = spoilt / "store"
    before = content(store)
    other = make_rows().assign(
        audit_id=[f"B{n}" for n in range(30)], item_id="J", rater="Q", comment="d", decided_at="25/01/2026 11:00"
    )
    take_in(write_export(spoilt / "b.csv", spoil(other)), spoilt / "other", mapping=MAPPING)
    mine = read_quarantine(store)
    wrong = {
        "a row is not that of a.csv": read_quarantine(spoilt / "other"),
        "the columns differ": mine.drop(columns="comment"),
        "a source_row is none of a.csv": mine.assign(source_row="999", audit_id=mine["audit_id"]).iloc[:1],
        "a source_row stands twice": pd.concat([mine, mine]),
        "a source_row is no number": mine.assign(source_row=""),
    }
    for words, fed in wrong.items():
        fed.to_csv(spoilt / "c.csv", index=False)
        with pytest.raises(DataError, match=words) as stop:
            take_in(spoilt / "c.csv", store, mapping=MAPPING)
        assert stop.value.mend
        assert content(store) == before


def test_another_export_replaces_the_store_and_says_that_corrections_do_not_apply(spoilt):
    store = spoilt / "store"
    correct(read_quarantine(store), make_rows()).to_csv(spoilt / "c.csv", index=False)
    take_in(spoilt / "c.csv", store, mapping=MAPPING)
    ledger = take_in(write_export(spoilt / "b.csv", make_rows(12)), store, mapping=MAPPING)
    assert ledger.kept == 12
    assert [rows for what, rows, _ in ledger.notes if "not applied" in what] == [4]


def test_a_store_of_before_that_lacks_the_rows_asks_for_the_export(spoilt):
    (spoilt / "store" / ROWS).unlink()
    with pytest.raises(DataError, match="take the export in again"):
        take_in(spoilt / "store" / "quarantine.csv", spoilt / "store", mapping=MAPPING)


def test_a_batch_keeps_its_audits_and_adds_the_corrected_ones(tmp_path):
    (tmp_path / "m.yml").write_text("time_zone: UTC\nlabels: {Hate: hate, OK: benign}\ndate_order: dmy\n")
    spoil(make_rows()).to_csv(tmp_path / "a.csv", index=False)
    batch = tmp_path / "b.yml"
    batch.write_text(json.dumps({"batch": "week", "data": str(tmp_path / "a.csv"), "mapping": str(tmp_path / "m.yml")}))
    reports = tmp_path / "reports"
    assert plan_batch(batch, reports=reports).ledger.kept == 25
    store = reports / "week" / "_audits"
    quarantine = read_quarantine(store)
    quarantine.loc[quarantine["truth"] == "Okay", "truth"] = "OK"
    quarantine.to_csv(tmp_path / "corrected.csv", index=False)
    for _ in range(2):  # the same again changes nothing
        ledger = plan_batch(batch, data=tmp_path / "corrected.csv", reports=reports).ledger
        assert (ledger.rows_read, ledger.kept, ledger.quarantined) == (31, 26, 4)
    assert plan_batch(batch, reports=reports).ledger.kept == 26
    assert plan_batch(batch, reports=reports, force=True).ledger.kept == 26
    with pytest.raises(DataError, match="the quarantine of an export that this batch has not taken in"):
        plan_batch(batch, data=tmp_path / "corrected.csv", reports=tmp_path / "elsewhere")
