"""Secrets blotted out of all that a run writes: the values of named environment variables, however they are spelled.

Blotted are a value, its lines, the password and the keys inside it, their beginnings and ends, each as text, in JSON,
HTML, percent encoding, hexadecimal and Base64; in text, archives and compressed files.

A value that a notebook changes otherwise (encrypts, reverses, splits over cells, draws as a picture) is not found.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import html
import io
import json
import lzma
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from rca_lib.audits.engine import open_engine
from rca_lib.batch.grid import PASSWORD

SECRET = 6  # characters from which a value is blotted out; a shorter one is no secret
PART = 8  # characters from which the beginning or the end of a secret is one
LARGEST = 100 << 20  # bytes of a file that are unpacked
BLOT = b"***"
ESCAPE = "surrogateescape"
KEYS = re.compile(r"pass|pwd|secret|token|key|sig|auth|cred", re.IGNORECASE)
PAIR = re.compile(r"([\w.-]+)\"?\s*[=:]\s*(\"[^\"]*\"|'[^']*'|[^\s;,&}]+)")
PACKED = ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ", lzma))


def find_secrets(values: Iterable[str]) -> tuple[str, ...]:
    """Return what has to be blotted out of files: values, and the parts of them that are secrets by themselves.

    Examples
    --------
    >>> find_secrets(["warehouse://ana:hunter2@db/audits?sslkey=abcdef9"])
    ('warehouse://ana:hunter2@db/audits?sslkey=abcdef9', 'ana:hunter2', 'hunter2', 'abcdef9')
    """
    parts = [part for value in values for part in _split(value)]
    return tuple(sorted(dict.fromkeys(part for part in parts if len(part) >= SECRET), key=len, reverse=True))


def _split(value: str) -> Iterator[str]:
    yield value
    yield from value.splitlines()  # a notebook's file holds what was printed line by line
    with suppress(ValueError):
        address = urlsplit(value)
        if address.password:
            yield from (f"{address.username}:{address.password}", address.password, unquote(address.password))
        yield from (text for name, text in parse_qsl(address.query) if KEYS.search(name))
    yield from (text.strip("\"'") for name, text in PAIR.findall(value) if KEYS.search(name) and "//" not in text)


class Blotter:
    """Blots secrets out of text and files."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """Take the secrets as `find_secrets` gives them."""
        spellings = dict.fromkeys(one for secret in secrets for one in _spell(secret))
        self._spellings = sorted(spellings, key=len, reverse=True)
        self._parts = [
            part for secret in secrets if _is_one_word(secret) for part in _cut(secret.encode(errors=ESCAPE))
        ]

    def blot(self, text: bytes) -> bytes:
        """Return a text without them."""
        for spelling in self._spellings:
            text = text.replace(spelling, BLOT)
        for secret, least, from_end in self._parts:
            text = _blot_part(text, secret, least, from_end=from_end)
        return re.sub(PASSWORD.pattern.encode(), rb"\1***@", text)

    def blot_file(self, file: Path) -> None:
        """Blot them out of a file and of its name; a file that cannot be rewritten without harm is removed."""
        content = file.read_bytes()
        clean = self._clean(content)
        if clean is None:
            file.unlink()
            note = file.with_name(f"{file.name}.removed.txt")
            note.write_text("This file held the value of an environment variable.\n", encoding="utf-8")
        elif clean != content:
            file.write_bytes(clean)
        name = self.blot(file.name.encode(errors=ESCAPE)).decode(errors=ESCAPE)
        if name != file.name and file.exists():
            file.rename(file.with_name(name))

    def _clean(self, content: bytes) -> bytes | None:
        if content[:4] == b"PK\x03\x04":
            return self._clean_archive(content)
        for start, module in PACKED:
            if content.startswith(start):
                with suppress(OSError, EOFError, ValueError, lzma.LZMAError):
                    inside = module.open(io.BytesIO(content)).read(LARGEST)
                    clean = self._clean(inside)
                    return content if clean == inside else clean and module.compress(clean)
        if content[:4] == b"PAR1":
            return None if self._is_in_parquet(content) else content
        try:
            content.decode()
        except UnicodeDecodeError:
            # Of the same length, so that whatever counts bytes still finds its place.
            for spelling in self._spellings:
                content = content.replace(spelling, b"*" * len(spelling))
            return content
        return self.blot(content)

    def _clean_archive(self, content: bytes) -> bytes | None:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if sum(member.file_size for member in archive.infolist()) > LARGEST:
                    return None
                members = [(member, archive.read(member)) for member in archive.infolist()]
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError):
            return self.blot(content)
        cleaned = [(member, inside, self._clean(inside)) for member, inside in members]
        if all(clean == inside for _, inside, clean in cleaned):
            return content
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, _, clean in cleaned:
                archive.writestr(member, clean or b"")
        return written.getvalue()

    def _is_in_parquet(self, content: bytes) -> bool:
        import tempfile

        import duckdb

        with tempfile.NamedTemporaryFile(suffix=".parquet") as copy:
            copy.write(content)
            copy.flush()
            try:
                with open_engine(files=[Path(copy.name)]) as engine:
                    rows = engine.execute("select to_json(t) from read_parquet(?) t", [copy.name]).fetchall()
            except duckdb.Error:
                return self.blot(content) != content
        text = "\n".join(str(row[0]) for row in rows).encode(errors=ESCAPE)
        return self.blot(text) != text


def _spell(secret: str) -> Iterator[bytes]:
    """Yield the ways in which a program may write a text."""
    for said in (secret, html.escape(secret), html.escape(secret, quote=False)):
        for in_ascii in (True, False):
            once = json.dumps(said, ensure_ascii=in_ascii)[1:-1]
            twice = json.dumps(once, ensure_ascii=in_ascii)[1:-1]
            yield from (spelled.encode(errors=ESCAPE) for spelled in (said, once, twice))
    raw = secret.encode(errors=ESCAPE)
    for quoted in (quote(raw, safe=""), quote(raw), quote(raw, safe=":/?=&@"), quote_plus(raw)):
        yield quoted.encode()
        yield re.sub("%..", lambda found: found[0].lower(), quoted).encode()
    yield from (repr(secret)[1:-1].encode(errors=ESCAPE), ascii(secret)[1:-1].encode(), raw.hex().encode())
    yield from (raw.hex().upper().encode(), secret.encode("utf-16-le", errors="surrogatepass"))
    for alphabet in (b"+/", b"-_"):
        for shift in range(3):  # where in a longer text it stands
            coded = base64.b64encode(b"\0" * shift + raw, alphabet).rstrip(b"=")
            inner = coded[(0, 2, 3)[shift] : len(coded) - (1 if (len(raw) + shift) % 3 else 0)]
            if len(inner) >= PART:
                yield inner


def _is_one_word(secret: str) -> bool:
    # The beginning of an address, and the end of a list of settings, are no secrets.
    return "://" not in secret and not PAIR.search(secret)


def _cut(secret: bytes) -> Iterator[tuple[bytes, int, bool]]:
    """Yield a secret with the number of characters from which its beginning, and its end, is one; no mere word is."""
    for from_end in (False, True):
        kinds: set[str] = set()
        for number, letter in enumerate(reversed(secret) if from_end else secret, start=1):
            one = chr(letter)
            kinds.add("lower" if one.islower() else "upper" if one.isupper() else "digit" if one.isdigit() else "other")
            if number >= PART and len(kinds) > 1:
                if number < len(secret):
                    yield secret, number, from_end
                break


def _blot_part(text: bytes, secret: bytes, least: int, *, from_end: bool) -> bytes:
    """Blot out the longest beginning or end of a secret wherever at least so much of it stands."""
    found, pieces = 0, []
    sought = secret[-least:] if from_end else secret[:least]
    while (place := text.find(sought, found)) >= 0:
        start, stop = place, place + least
        if from_end:
            while start > found and stop - start < len(secret) and text[start - 1] == secret[-(stop - start) - 1]:
                start -= 1
        else:
            while stop < len(text) and stop - start < len(secret) and text[stop] == secret[stop - start]:
                stop += 1
        pieces += [text[found:start], BLOT]
        found = stop
    return b"".join([*pieces, text[found:]])
