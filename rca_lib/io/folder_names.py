"""Folder names for values from the data, safe and bounded for every script, length and file system.

A value is percent-encoded, so its folder name is ASCII and readable. A hash of the value is appended when the encoded
name is too long, is empty, or differs from another only in case. Such a folder stores the value in a small file,
because the hash cannot be decoded.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, unquote

MAX_NAME_CHARS = 80  # of an encoded name; file systems allow 255, and Windows 260 for a whole path
HASH_DIGITS = 16  # hexadecimal digits of the appended hash
NAME_FILE = "name.txt"
# Windows opens a device under these names, whatever the extension.
WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
# The batch's own files begin or end with these characters; Windows drops a trailing dot.
RESERVED_CHARACTERS = re.compile(r"^[_.~-]|\.$|\.(?=[A-Za-z0-9]{1,8}$)")


def encode_folder_name(name: str) -> str:
    """Return a safe folder name that is unique to a name.

    Parameters
    ----------
    name
        Any text.

    Returns
    -------
    str
        At most `MAX_NAME_CHARS` characters, plus a hash if needed. The result holds no path separator and does not
        begin with `_`, `.`, `-` or `~`. It is not a Windows device and has no file extension.

    Notes
    -----
    Names that differ only in case give folder names that differ only in case. `encode_folder_names` separates them for
    file systems that ignore case.

    Examples
    --------
    >>> (encode_folder_name("são paulo/2"), encode_folder_name("_x"), encode_folder_name("index.html"),
    ...  encode_folder_name("con"))
    ('s%C3%A3o%20paulo%2F2', '%5Fx', 'index%2Ehtml', '%63on')
    >>> encode_folder_name("東京第一オペレーションセンター審査チーム広告部門夜間シフト")
    '%E6%9D%B1%E4%BA%AC%E7%AC%AC%E4%B8%80%E3%82%AA%E3%83%9A%E3%83%AC%E3%83%BC~20f0f883b992d97f'
    """
    encoded = RESERVED_CHARACTERS.sub(lambda match: f"%{ord(match[0]):02X}", _percent_encode(name))
    if WINDOWS_DEVICE.match(encoded):
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    is_decodable = 0 < len(encoded) <= MAX_NAME_CHARS and unquote(encoded) == name
    return encoded if is_decodable else hash_folder_name(name)


def hash_folder_name(name: str) -> str:
    """Return a folder name with a hash, unique to a name even where the file system ignores case."""
    prefix = ""
    for character in name:
        encoded = _percent_encode(character)
        if len(prefix) + len(encoded) > MAX_NAME_CHARS:
            break
        prefix += encoded
    prefix = prefix.strip("._-") or "name"
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
    return f"{prefix}~{digest[:HASH_DIGITS]}"


def _percent_encode(text: str) -> str:
    """Percent-encode text, including `~`, which separates the hash."""
    return quote(text, safe="", errors="surrogatepass").replace("~", "%7E")


def encode_folder_names(names: Iterable[str]) -> dict[str, str]:
    """Return a folder name for each name, all distinct even where the file system ignores case.

    Examples
    --------
    >>> encode_folder_names(["Lisbon", "lisbon", "manila"])
    {'Lisbon': 'Lisbon~92e5dc262be8ca90', 'lisbon': 'lisbon~2c146785580233f3', 'manila': 'manila'}
    """
    folders = {name: encode_folder_name(name) for name in names}
    counts = Counter(folder.lower() for folder in folders.values())
    return {name: hash_folder_name(name) if counts[folder.lower()] > 1 else folder for name, folder in folders.items()}


def write_folder_name(folder: Path, name: str, prefix: str = "") -> None:
    """Store a name in its folder unless the folder's own name, without a prefix, decodes to it."""
    if unquote(folder.name.removeprefix(prefix)) != name:
        (folder / NAME_FILE).write_bytes(name.encode(errors="surrogatepass"))


def read_folder_name(folder: Path, prefix: str = "") -> str:
    """Return the name that a folder stands for: the stored name, or else the folder's decoded name without a prefix."""
    try:
        return (folder / NAME_FILE).read_bytes().decode(errors="surrogatepass")
    except (OSError, UnicodeError):
        return unquote(folder.name.removeprefix(prefix))


def find_folder(parent: Path, name: str, prefix: str = "") -> Path:
    """Return the folder of a name in a parent folder. The folder may not exist."""
    hashed = parent / f"{prefix}{hash_folder_name(name)}"
    encoded = parent / f"{prefix}{encode_folder_name(name)}"
    # Where case is ignored, the encoded folder may belong to another name.
    if encoded.is_dir() and read_folder_name(encoded, prefix) == name:
        return encoded
    return hashed if hashed.is_dir() else encoded
