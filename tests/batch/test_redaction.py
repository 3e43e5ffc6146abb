"""Redaction: no value of a named environment variable stays in any file, however it is encoded."""

import base64
import bz2
import gzip
import html
import io
import json
import lzma
import zipfile
from urllib.parse import quote, quote_plus

import duckdb
import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from rca_lib.batch.redaction import Redactor, find_secrets
from rca_lib.batch.run_grid import Run
from rca_lib.batch.runner import run_notebooks

ADDRESS = "warehouse://ana:hun%2Fter2-Ä&é@db/audits?sslkey=Zq7-xk+2&mode=read"
TOKEN = "tk_live_9fQ2/xY+7 aB<é>\"'&=="
DSN = "server=db;uid=ana;pwd=Wi11ow-tree;timeout=30"
KEY = '{"client": "ana", "private_key": "-----BEGIN-----\\nMIIEvQIBAD/ANBg+kqh\\n-----END-----"}'
VALUES = (ADDRESS, TOKEN, DSN, KEY)
SECRETS = find_secrets(VALUES)
PARTS = ("hun/ter2-Ä&é", "hun%2Fter2-Ä&é", "Zq7-xk+2", "Wi11ow-tree", TOKEN)
ENCODINGS = {
    "plain": str,
    "quote": lambda text: quote(text, safe=""),
    "quote with slashes": quote,
    "quote_plus": quote_plus,
    "quote in lower case": lambda text: quote(text, safe="").lower().replace(text.lower(), text),
    "html": html.escape,
    "json": json.dumps,
    "json in json": lambda text: json.dumps(json.dumps(text)),
    "repr": repr,
    "ascii": ascii,
    "hex": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of user and password": lambda text: base64.b64encode(f"ana:{text}".encode()).decode(),
    "base64 inside": lambda text: base64.b64encode(f"xy{text}tail".encode()).decode(),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(f"x{text}".encode()).decode(),
}


def is_revealed(text, secret):
    """Return whether a text contains any eight consecutive characters of a secret."""
    pieces = {secret[at : at + 8] for at in range(max(1, len(secret) - 7))}
    return any(piece in text for piece in pieces)


@pytest.mark.parametrize("secret", PARTS)
@pytest.mark.parametrize("name", ENCODINGS)
def test_no_encoding_of_a_secret_stays(name, secret):
    encoded = ENCODINGS[name](secret)
    if name == "quote in lower case":
        encoded = "".join(letter.lower() if "%" in encoded[max(0, at - 2) : at + 1] else letter
                          for at, letter in enumerate(quote(secret, safe="")))  # fmt: skip
    redacted = Redactor(SECRETS).redact(f"before {encoded} after".encode()).decode()
    assert redacted.startswith("before ") and redacted.endswith(" after") and "***" in redacted
    assert not is_revealed(redacted, encoded.strip("\"'="))


@pytest.mark.parametrize("cut", [slice(0, 12), slice(0, 20), slice(-12, None), slice(1, None), slice(0, -1)])
def test_no_beginning_or_end_of_a_secret_stays(cut):
    redacted = Redactor(SECRETS).redact(f"before {TOKEN[cut]} after".encode()).decode()
    assert redacted == "before *** after"


@pytest.mark.parametrize(
    "words", ["accuracy of the audits", "warehouse", "server", "read", "ana", "timeout=30", "client"]
)
def test_words_that_are_not_secret_stay(words):
    secrets = find_secrets([*VALUES, "accuracy-of-lisbon"])
    assert Redactor(secrets).redact(words.encode()) == words.encode()


@pytest.mark.parametrize("secret", [ADDRESS, TOKEN, DSN])
def test_no_format_of_a_file_keeps_a_secret(tmp_path, secret):
    text = f"x {secret} y".encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("inner.xml", text)
        opened.writestr("other.xml", b"stays")
    files = {"a.csv": text, "noending": text, "a.py": text, "a.zip": archive.getvalue(), "a.gz": gzip.compress(text),
             "a.bz2": bz2.compress(text), "a.xz": lzma.compress(text), "a.bin": b"\xff\xfe\0" + text}  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    pd.DataFrame({"x": [secret]}).to_excel(tmp_path / "a.xlsx")
    duckdb.sql("select ? as x", params=[secret]).write_parquet(str(tmp_path / "a.parquet"), compression="zstd")
    duckdb.sql("select 'fine' as x").write_parquet(str(tmp_path / "b.parquet"))
    redactor = Redactor(find_secrets([secret]))
    for file in sorted(tmp_path.iterdir()):
        redactor.redact_file(file)
    assert (tmp_path / "b.parquet").exists() and not (tmp_path / "a.parquet").exists()
    assert len((tmp_path / "a.bin").read_bytes()) == len(files["a.bin"])
    contents = {file.name: unpack(file) for file in tmp_path.iterdir()}
    assert [name for name, content in contents.items() if is_revealed(content.decode(errors="replace"), secret)] == []
    assert b"stays" in contents["a.zip"] and contents["a.gz"] == b"x *** y"


def unpack(file):
    content = file.read_bytes()
    for start, module in ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ", lzma)):
        if content.startswith(start):
            return module.decompress(content)
    if content.startswith(b"PK"):
        with zipfile.ZipFile(file) as archive:
            return b"".join(archive.read(name) for name in archive.namelist())
    return content


def test_a_notebook_that_is_saved_while_it_runs_contains_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("RCA_TOKEN", TOKEN)
    sources = [
        "import os, time\nprint(os.environ['RCA_TOKEN'])\nos.environ['RCA_TOKEN']",
        "time.sleep(5.2)",
        "saved = open(output + '/report.ipynb').read()\nprint('***' in saved, os.environ['RCA_TOKEN'][:12] in saved)",
        "import pathlib\nfor name in ('findings', 'claims'): (pathlib.Path(output) / f'{name}.json').write_text('{}')",
    ]
    cells = [new_code_cell('output: str = ""', metadata={"tags": ["parameters"]})]
    nbformat.write(new_notebook(cells=cells + [new_code_cell(source) for source in sources]), tmp_path / "n.ipynb")
    run = Run("a", "2026-01", tmp_path / "n.ipynb", "a/2026-01")
    assert run_notebooks([run], tmp_path / "out", environment=["RCA_TOKEN"])[0].outcome == "succeeded"
    report = nbformat.read(tmp_path / "out" / "a" / "2026-01" / "report.ipynb", as_version=4)
    assert report.cells[4].outputs[0].text == "True False\n"
    assert report.cells[2].outputs[0].text == "***\n"
