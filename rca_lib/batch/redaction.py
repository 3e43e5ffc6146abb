"""Redaction: the values of named environment variables are removed from everything that a run writes.

What counts as a secret: each value, each of its lines, the password and the keys inside it, and long beginnings and
ends of a value that is a single token. Each is found as text, in JSON, HTML, percent encoding, hexadecimal and Base64,
and also inside archives and compressed files.

A value that a notebook changes in another way (encrypted, reversed, split over cells, drawn as a picture) is not found.
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
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from rca_lib.batch.batch_file import URL_PASSWORD_PATTERN
from rca_lib.io.duckdb_connection import connect_duckdb

MIN_SECRET_CHARS = 6  # characters of a secret; a shorter value would be found everywhere
MIN_FRAGMENT_CHARS = 8  # characters from which the beginning or the end of a secret is redacted
MAX_UNPACKED_BYTES = 100 << 20  # bytes of a compressed file or an archive that are unpacked
REDACTED = b"***"
ENCODING_ERRORS = "surrogateescape"
SECRET_NAME_PATTERN = re.compile(r"pass|pwd|secret|token|key|sig|auth|cred", re.IGNORECASE)
KEY_VALUE_PATTERN = re.compile(r"([\w.-]+)\"?\s*[=:]\s*(\"[^\"]*\"|'[^']*'|[^\s;,&}]+)")
COMPRESSION_FORMATS = ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ", lzma))  # first bytes, module
ZIP_START = b"PK\x03\x04"
PARQUET_START = b"PAR1"
REMOVAL_NOTE = "This file contained the value of an environment variable.\n"
# In Base64, three bytes become four characters. Of a secret that starts at byte 0, 1 or 2 of such a group, the first
# 0, 2 or 3 characters also depend on the text before it.
BASE64_LEADING_CHARS = (0, 2, 3)


@dataclass(frozen=True, slots=True)
class SecretFragment:
    """The beginning or the end of a secret that is redacted on its own.

    Attributes
    ----------
    secret
        The whole secret.
    min_chars
        The number of characters from which a beginning or end is redacted.
    from_end
        Whether this is about ends.
    """

    secret: bytes
    min_chars: int
    from_end: bool


def find_secrets(values: Iterable[str]) -> tuple[str, ...]:
    """Return the texts to redact: the values, and the parts of them that are secrets by themselves.

    Parameters
    ----------
    values
        The values of environment variables.

    Returns
    -------
    tuple of str
        The secrets, the longest first. Values with fewer than `MIN_SECRET_CHARS` characters are left out.

    Examples
    --------
    >>> find_secrets(["warehouse://ana:hunter2@db/audits?sslkey=abcdef9"])
    ('warehouse://ana:hunter2@db/audits?sslkey=abcdef9', 'ana:hunter2', 'hunter2', 'abcdef9')
    """
    candidates = [secret for value in values for secret in _extract_secrets(value)]
    secrets = dict.fromkeys(secret for secret in candidates if len(secret) >= MIN_SECRET_CHARS)
    return tuple(sorted(secrets, key=len, reverse=True))


def _extract_secrets(value: str) -> Iterator[str]:
    yield value
    yield from value.splitlines()  # a notebook file stores printed text line by line
    with suppress(ValueError):
        url = urlsplit(value)
        if url.password:
            yield f"{url.username}:{url.password}"
            yield url.password
            yield unquote(url.password)
        for name, text in parse_qsl(url.query):
            if SECRET_NAME_PATTERN.search(name):
                yield text
    for name, text in KEY_VALUE_PATTERN.findall(value):
        if SECRET_NAME_PATTERN.search(name) and "//" not in text:
            yield text.strip("\"'")


class Redactor:
    """Removes secrets from texts and files."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """Prepare the search.

        Parameters
        ----------
        secrets
            The secrets, as `find_secrets` returns them.
        """
        encodings = dict.fromkeys(encoding for secret in secrets for encoding in _list_encodings(secret))
        self._encodings = sorted(encodings, key=len, reverse=True)
        self._fragments = [
            fragment
            for secret in secrets
            if _is_single_token(secret)
            for fragment in _list_fragments(secret.encode(errors=ENCODING_ERRORS))
        ]

    def redact(self, text: bytes) -> bytes:
        """Return a text in which all secrets, and all passwords in URLs, are replaced by `***`."""
        for encoding in self._encodings:
            text = text.replace(encoding, REDACTED)
        for fragment in self._fragments:
            text = _redact_fragment(text, fragment)
        return re.sub(URL_PASSWORD_PATTERN.pattern.encode(), rb"\1***@", text)

    def redact_file(self, file: Path) -> None:
        """Redact a file and its name.

        A file that cannot be rewritten without damage is removed; a note takes its place.
        """
        content = file.read_bytes()
        redacted = self._redact_content(content)
        if redacted is None:
            file.unlink()
            file.with_name(f"{file.name}.removed.txt").write_text(REMOVAL_NOTE, encoding="utf-8")
        elif redacted != content:
            file.write_bytes(redacted)
        name = self.redact(file.name.encode(errors=ENCODING_ERRORS)).decode(errors=ENCODING_ERRORS)
        if name != file.name and file.exists():
            file.rename(file.with_name(name))

    def _redact_content(self, content: bytes) -> bytes | None:
        """Return the redacted content of a file; None if the file must be removed."""
        if content.startswith(ZIP_START):
            return self._redact_archive(content)
        for start, module in COMPRESSION_FORMATS:
            if content.startswith(start):
                with suppress(OSError, EOFError, ValueError, lzma.LZMAError):
                    unpacked = module.open(io.BytesIO(content)).read(MAX_UNPACKED_BYTES)
                    redacted = self._redact_content(unpacked)
                    return content if redacted == unpacked else redacted and module.compress(redacted)
        if content.startswith(PARQUET_START):
            return None if self._parquet_contains_secret(content) else content
        try:
            content.decode()
        except UnicodeDecodeError:
            # A binary format may store positions of bytes, so the length must stay the same.
            for encoding in self._encodings:
                content = content.replace(encoding, b"*" * len(encoding))
            return content
        return self.redact(content)

    def _redact_archive(self, content: bytes) -> bytes | None:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if sum(member.file_size for member in archive.infolist()) > MAX_UNPACKED_BYTES:
                    return None
                members = [(member, archive.read(member)) for member in archive.infolist()]
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError):
            return self.redact(content)
        redacted_members = [(member, unpacked, self._redact_content(unpacked)) for member, unpacked in members]
        if all(redacted == unpacked for _, unpacked, redacted in redacted_members):
            return content
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, _, redacted in redacted_members:
                archive.writestr(member, redacted or b"")
        return buffer.getvalue()

    def _parquet_contains_secret(self, content: bytes) -> bool:
        import duckdb

        with tempfile.NamedTemporaryFile(suffix=".parquet") as copy:
            copy.write(content)
            copy.flush()
            try:
                with connect_duckdb(files=[Path(copy.name)]) as connection:
                    rows = connection.execute("select to_json(t) from read_parquet(?) t", [copy.name]).fetchall()
            except duckdb.Error:
                return self.redact(content) != content
        text = "\n".join(str(row[0]) for row in rows).encode(errors=ENCODING_ERRORS)
        return self.redact(text) != text


def _list_encodings(secret: str) -> Iterator[bytes]:
    """Yield the encodings in which a program may write a secret."""
    for text in (secret, html.escape(secret), html.escape(secret, quote=False)):
        for ensure_ascii in (True, False):
            json_text = json.dumps(text, ensure_ascii=ensure_ascii)[1:-1]
            nested_json_text = json.dumps(json_text, ensure_ascii=ensure_ascii)[1:-1]
            for encoding in (text, json_text, nested_json_text):
                yield encoding.encode(errors=ENCODING_ERRORS)
    raw = secret.encode(errors=ENCODING_ERRORS)
    for quoted in (quote(raw, safe=""), quote(raw), quote(raw, safe=":/?=&@"), quote_plus(raw)):
        yield quoted.encode()
        yield re.sub("%..", lambda escape: escape[0].lower(), quoted).encode()
    yield repr(secret)[1:-1].encode(errors=ENCODING_ERRORS)
    yield ascii(secret)[1:-1].encode()
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield secret.encode("utf-16-le", errors="surrogatepass")
    yield from _list_base64_encodings(raw)


def _list_base64_encodings(secret: bytes) -> Iterator[bytes]:
    """Yield the characters that only depend on the secret, for each position that it may have in a longer text."""
    for alphabet in (b"+/", b"-_"):
        for offset, leading_chars in enumerate(BASE64_LEADING_CHARS):
            encoded = base64.b64encode(b"\0" * offset + secret, alphabet).rstrip(b"=")
            trailing_chars = 1 if (len(secret) + offset) % 3 else 0  # depends on the text after the secret
            inner = encoded[leading_chars : len(encoded) - trailing_chars]
            if len(inner) >= MIN_FRAGMENT_CHARS:
                yield inner


def _is_single_token(secret: str) -> bool:
    # The beginning of a URL and the end of a list of settings are not secret.
    return "://" not in secret and not KEY_VALUE_PATTERN.search(secret)


def _list_fragments(secret: bytes) -> Iterator[SecretFragment]:
    """Yield from which length the beginnings and the ends of a secret are redacted.

    They are once they mix two kinds of characters, because a fragment of one kind may be an ordinary word.
    """
    for from_end in (False, True):
        kinds: set[str] = set()
        for length, code in enumerate(reversed(secret) if from_end else secret, start=1):
            kinds.add(_classify_char(chr(code)))
            if length >= MIN_FRAGMENT_CHARS and len(kinds) > 1:
                if length < len(secret):
                    yield SecretFragment(secret, length, from_end)
                break


def _classify_char(char: str) -> str:
    if char.islower():
        return "lower"
    if char.isupper():
        return "upper"
    return "digit" if char.isdigit() else "other"


def _redact_fragment(text: bytes, fragment: SecretFragment) -> bytes:
    """Replace the longest beginning or end of a secret at every place where at least the shortest one occurs."""
    secret = fragment.secret
    shortest = secret[-fragment.min_chars :] if fragment.from_end else secret[: fragment.min_chars]
    pieces = []
    position = 0
    while (start := text.find(shortest, position)) >= 0:
        stop = start + fragment.min_chars
        if fragment.from_end:
            while start > position and stop - start < len(secret) and text[start - 1] == secret[-(stop - start) - 1]:
                start -= 1
        else:
            while stop < len(text) and stop - start < len(secret) and text[stop] == secret[stop - start]:
                stop += 1
        pieces += [text[position:start], REDACTED]
        position = stop
    return b"".join([*pieces, text[position:]])
