"""Folder names: no site name writes outside the batch folder or over another site."""

import re
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest
from rca_lib.io.folder_names import (
    HASH_DIGITS,
    MAX_NAME_CHARS,
    encode_folder_name,
    encode_folder_names,
    find_folder,
    read_folder_name,
    write_folder_name,
)
from rca_lib.store.cases import open_case
from rca_lib.store.catalog import list_periods, list_sites

NASTY = (
    "", " ", "\t", "\n", "\0", "\x7f", "\u200b", "\u202e", "\ufeff", "\ud800", ".", "..", "...", "../up", "../../etc/x",
    "/", "//", "/etc", "\\", "..\\up", "C:", "C:\\x", "\\\\host\\share", "a/b", "a\\b", "a:b", "a|b", "a?b", "a*b",
    '"', "'", "`id`", "$(id)", "$HOME", "~", "~root", "-rf", "--help", "%", "%2e%2e", "%00", "con", "CON", "Con.txt",
    "nul", "aux.", "COM1", "lpt9.log", "prn", "name.", "name ", ".git", "_portfolio", "_audits", "_", "index.html",
    "certificate.html", ".lock", "name.new", "Lisbon", "lisbon", "LISBON", "lisbon~2c146785580233f3", "a=b;c", "#", "&",
    "東京第一オペレーション" * 3, "Ж" * 54, "a" * 300, "é", "e\u0301", "É", "😀" * 40, "مرحبا", "עברית",
    "ｌｉｓｂｏｎ", "<b>",
)  # fmt: skip
SAFE = re.compile(r"[A-Za-z0-9%][A-Za-z0-9%._~-]*")


@pytest.mark.parametrize("name", NASTY)
def test_a_folder_name_is_a_safe_and_bounded_path_component(name):
    folder = encode_folder_name(name)
    assert SAFE.fullmatch(folder)
    assert len(folder) <= MAX_NAME_CHARS + HASH_DIGITS + 1
    assert Path("out", folder, "x").resolve().parents[1] == Path("out").resolve()
    assert not re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", folder, re.IGNORECASE)
    assert not re.search(r"(\.|\.[A-Za-z0-9]{1,8})$", folder)
    assert "~" in folder or unquote(folder) == name


def test_no_two_names_share_a_folder_where_case_is_ignored():
    assert len({folder.lower() for folder in encode_folder_names(NASTY).values()}) == len(NASTY)
    assert len({encode_folder_name(name) for name in NASTY}) == len(NASTY)


@pytest.mark.parametrize("name", NASTY)
def test_a_folder_leads_back_to_its_name(tmp_path, name):
    for folder in (f"site={folder}" for folder in encode_folder_names(NASTY).values()):
        (tmp_path / folder).mkdir()
    for site, folder in encode_folder_names(NASTY).items():
        write_folder_name(tmp_path / f"site={folder}", site, "site=")
    site_folder = find_folder(tmp_path, name, "site=")
    assert site_folder.is_dir() and read_folder_name(site_folder, "site=") == name


def test_a_folder_without_a_stored_name_is_decoded(tmp_path):
    (tmp_path / "site=s%C3%A3o").mkdir()
    assert read_folder_name(find_folder(tmp_path, "são", "site="), "site=") == "são"


def test_a_store_returns_every_site_by_its_name(tmp_path):
    sites = sorted({name for name in NASTY if name.isprintable() and name.strip() == name != ""} - {"\ufeff"})
    rows = [(f"{number}", "i", site, "r", "2026-03-01 10:00", "a", "a") for number, site in enumerate(sites)]
    audits = pd.DataFrame(rows, columns=["audit_id", "item_id", "site", "rater", "decided_at", "label", "truth"])
    kept = ingest(audits, tmp_path / "store", mapping=ColumnMapping(time_zone="UTC")).sites
    assert len(kept) > 40
    assert sorted(list_sites(tmp_path / "store")) == sorted(kept)
    for site in kept:
        assert list_periods(tmp_path / "store", site) == ("2026-03",)
        assert open_case(tmp_path / "store", site=site, period="2026-03").site == site
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
