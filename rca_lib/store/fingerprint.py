# Tested in tests/store/test_cases.py.
"""The fingerprint of a report's input: equal fingerprints give equal reports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import pandas as pd

from rca_lib.audits.periods import Coverage, Period, parse_period
from rca_lib.intake.ledger import read_ledger
from rca_lib.store.catalog import get_month, list_month_files, read_coverage, read_modification_times
from rca_lib.store.ingest_history import LABEL_SETTINGS
from rca_lib.store.stored_tables import RATINGS_INDEX, match_site_scope, read_events, read_targets


def compute_fingerprint(store: Path, site: str, period: str) -> str:
    """Return a SHA-256 of everything that a report of a site and period reads, and of nothing else.

    Parameters
    ----------
    store
        The folder of the store.
    site, period
        The site as the audits spell it; the name of a month, quarter or week.

    Returns
    -------
    str
        The SHA-256 in hexadecimal digits.

    Raises
    ------
    DataError
        If the store does not have the site, or is damaged.

    Notes
    -----
    The hash covers the audits of the months, the settings for reading labels, the targets, the events before the end of
    the period, the ratings, the taxonomy, and the first and last day with audits of all sites if they lie inside the
    periods. It does not depend on the export that the audits came from, nor on other audits in it.
    """
    covered = parse_period(period)
    files = list_month_files(store, site, covered)
    ratings_index = store / RATINGS_INDEX
    has_index = ratings_index.exists()
    ratings_hashes = json.loads(ratings_index.read_text(encoding="utf-8")) if has_index else {}
    shared = [store / "taxonomy.yml"]
    if not ratings_hashes:
        shared.append(store / "ratings.csv")
    digest = hashlib.sha256()
    for file in [*files, *(file for file in shared if file.exists())]:
        name = file.relative_to(store).as_posix().encode()
        digest.update(name + b"\0" + _hash_file(file, file.stat().st_mtime_ns))
    mtimes_ns = read_modification_times(store, "ledger.json", "events.csv", "targets.csv")
    settings, all_events = _serialize_settings(store, site, mtimes_ns)
    events = [text for start, text in all_events if not start >= pd.Timestamp(covered.end)]
    ratings = [ratings_hashes.get(str(file.parent.relative_to(store))) for file in files]
    coverage = _serialize_coverage(read_coverage(store), covered, files)
    digest.update(json.dumps([settings, events, ratings, coverage]).encode())
    return digest.hexdigest()


def _serialize_coverage(coverage: Coverage, period: Period, files: Sequence[Path]) -> list[str]:
    """Return the first and last day with audits as far as a report depends on them."""
    last = str(coverage.last) if coverage.ends_within(period) else ""
    first = max(str(coverage.first), f"{get_month(files[0])}-01") if files else ""
    return [first, last]


@lru_cache(maxsize=1024)
def _serialize_settings(
    store: Path, site: str, _mtimes_ns: tuple[int, ...]
) -> tuple[tuple[str, str], list[tuple[pd.Timestamp, str]]]:
    """Return the settings for reading labels and the targets of a site; and its events, each with its start.

    The modification times only identify the cached result.
    """
    ledger = read_ledger(store)
    targets = read_targets(store)
    events = read_events(store, site=site)
    values = [getattr(ledger, name) for name in LABEL_SETTINGS]
    values += ["synthetic"] if ledger.synthetic else []
    values += [["assumed", *ledger.assumed]] if ledger.assumed else []
    settings = json.dumps(values)
    event_texts = map(str, events.astype(str).to_numpy().tolist())
    targets_csv = targets[match_site_scope(targets, site)].to_csv(index=False)
    return (settings, targets_csv), list(zip(events["start"], event_texts, strict=True))


@lru_cache(maxsize=4096)
def _hash_file(file: Path, _mtime_ns: int) -> bytes:
    """Return the SHA-256 of a file; the modification time only identifies the cached result."""
    return hashlib.sha256(file.read_bytes()).digest()
