"""Fill the store of a batch: audits, the tables beside them, and what all of it was made from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from rca_lib.audits.beside import index_ratings
from rca_lib.audits.corrections import is_quarantine
from rca_lib.audits.intake_with_tables import read_beside, take_in_with
from rca_lib.audits.intakes import record_intake
from rca_lib.audits.ledger import Ledger
from rca_lib.audits.side_tables import write_side_tables
from rca_lib.batch.plan import PLAN
from rca_lib.batch.records import hash_file, hash_library
from rca_lib.findings import DataError

TABLES = ("events", "targets", "ratings")


def simulate_export(seed: int, folder: Path) -> None:
    """Write synthetic audits, and the tables beside them, as an export into a folder."""
    from rca_lib.audits.synthetic import demo_simulation, write_simulation  # a batch on real audits has no use for it

    write_simulation(demo_simulation(seed) if seed else demo_simulation(), folder)


def fill_store(
    source: Path,
    files: dict[str, Path],
    store: Path,
    made_from: dict[str, str],
    now: datetime | None,
    *,
    accept: Callable[[Ledger, Path], None] = lambda *_: None,
) -> Ledger:
    """Take audits in, put the `files` that belong to them beside them, and what all was `made_from`.

    `accept` is called with the ledger and the folder of the new store before it replaces the old one; where it raises,
    the old one stands.
    """
    mapping, tables = read_beside(files)
    fresh = store.with_name(f"{store.name}.new")
    if store.is_symlink():
        raise DataError(f"{store} is a link; nothing is written through it", mend="remove it and run the batch again")
    fresh.unlink() if fresh.is_symlink() else shutil.rmtree(fresh, ignore_errors=True)
    fresh.parent.mkdir(parents=True, exist_ok=True)
    for left in fresh.parent.glob(".intake-*"):  # raw rows that a killed intake left
        shutil.rmtree(left, ignore_errors=True)
    ledger, fitted = take_in_with(source, fresh, tables, mapping, now, base=store)
    for name in ("mapping", "taxonomy"):
        if name in files:
            shutil.copyfile(files[name], fresh / file_in_store(name))
    write_side_tables(fitted, fresh)
    index_ratings(fresh)
    try:
        accept(ledger, fresh)
    except DataError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    (fresh / "made_from.json").write_text(json.dumps(made_from, indent=1), encoding="utf-8")
    record_intake(fresh, store, ledger, now)
    if (store / PLAN).is_file():
        shutil.copyfile(store / PLAN, fresh / PLAN)
    shutil.rmtree(store, ignore_errors=True)
    fresh.rename(store)
    return ledger


def file_in_store(name: str) -> str:
    """Return what a table or a file of settings is called in a store."""
    return f"{name}.yml" if name in ("mapping", "taxonomy") else f"{name}.csv"


def keep_corrections(key: dict[str, str], source: Path | str, standing: dict[str, str]) -> dict[str, str]:
    """Say in a key which corrected quarantines belong to the audits.

    Parameters
    ----------
    key
        What `make_key` gave for the source.
    source
        The audits; or a corrected quarantine, which belongs to the audits of the standing store.
    standing
        The key of the standing store; empty where there is none.

    Raises
    ------
    DataError
        If a quarantine is given, and no export was taken in before.
    """
    fed = standing.get("corrections", "").split()
    if source != "synthetic" and is_quarantine(source):
        if not standing:
            problem = f"{Path(source).name} is the quarantine of an export that this batch has not taken in"
            raise DataError(problem, mend="run the batch on that export, then with --data on its corrected quarantine")
        fed += [key["audits"]] if key["audits"] not in fed else []
        key = key | {"audits": standing["audits"]}
    return key | {"corrections": " ".join(fed)} if fed and key["audits"] == standing.get("audits") else key


def make_key(source: Path | str, files: dict[str, Path], seed: int = 0) -> dict[str, str]:
    """Return a SHA-256 of each file that a store is made from; synthetic audits are made from rca_lib and the seed."""
    try:
        audits = f"synthetic {seed} {hash_library()}" if source == "synthetic" else hash_file(Path(source))
        return {"audits": audits, **{name: hash_file(path) for name, path in files.items()}}
    except OSError as problem:
        raise DataError(f"{problem.filename} cannot be read: {problem.strerror}", mend="check the path") from None
