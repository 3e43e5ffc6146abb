"""Folder names for names that come from the data: safe and bounded for every script, length and file system.

A name is percent-encoded, so that its folder is ASCII and can be read by people. Where that is not enough (the result
is too long, empty, or differs from another in upper and lower case alone) a hash of the name is appended. Such
a folder holds the name itself in a small file, which leads back from the hash.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, unquote

LONGEST = 80  # characters of an encoded name; file systems take 255, and Windows 260 for a whole path
HASHED = 16  # hexadecimal digits of a hash
NAME = "name.txt"
# Windows opens a device under these names, whatever the extension.
DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
# The batch's own files begin or end like this; Windows drops a dot at the end.
OWN = re.compile(r"^[_.~-]|\.$|\.(?=[A-Za-z0-9]{1,8}$)")


def folder_name(name: str) -> str:
    """Return a folder name that is safe everywhere and differs from those of all other names.

    It has at most `LONGEST` characters and a hash, holds no separator, does not begin with `_`, `.`, `-` or `~`, is no
    device of Windows, and does not end like a file. Names that differ in upper and lower case alone have folders that
    do so too: `folder_names` keeps them apart where the file system does not.

    Examples
    --------
    >>> folder_name("são paulo/2"), folder_name("_x"), folder_name("index.html"), folder_name("con")
    ('s%C3%A3o%20paulo%2F2', '%5Fx', 'index%2Ehtml', '%63on')
    >>> folder_name("東京第一オペレーションセンター審査チーム広告部門夜間シフト")
    '%E6%9D%B1%E4%BA%AC%E7%AC%AC%E4%B8%80%E3%82%AA%E3%83%9A%E3%83%AC%E3%83%BC~20f0f883b992d97f'
    """
    encoded = quote(name, safe="", errors="surrogatepass").replace("~", "%7E")
    encoded = OWN.sub(lambda found: f"%{ord(found[0]):02X}", encoded)
    if DEVICE.match(encoded):
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    readable = 0 < len(encoded) <= LONGEST and unquote(encoded) == name
    return encoded if readable else hashed_name(name)


def hashed_name(name: str) -> str:
    """Return the folder name with a hash, which differs from those of all other names also where case is ignored."""
    start = ""
    for character in name:
        spelled = quote(character, safe="", errors="surrogatepass").replace("~", "%7E")
        if len(start) + len(spelled) > LONGEST:
            break
        start += spelled
    start = start.strip("._-") or "name"
    return f"{start}~{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:HASHED]}"


def folder_names(names: Iterable[str]) -> dict[str, str]:
    """Return a folder name for each name, all different also where a file system ignores upper and lower case.

    Examples
    --------
    >>> folder_names(["Lisbon", "lisbon", "manila"])
    {'Lisbon': 'Lisbon~92e5dc262be8ca90', 'lisbon': 'lisbon~2c146785580233f3', 'manila': 'manila'}
    """
    folders = {name: folder_name(name) for name in names}
    shared = Counter(folder.lower() for folder in folders.values())
    return {name: hashed_name(name) if shared[folder.lower()] > 1 else folder for name, folder in folders.items()}


def note_name(folder: Path, name: str, prefix: str = "") -> None:
    """Note in a folder what name it stands for, where its own name (less a prefix) does not say so."""
    if unquote(folder.name.removeprefix(prefix)) != name:
        (folder / NAME).write_bytes(name.encode(errors="surrogatepass"))


def read_name(folder: Path, prefix: str = "") -> str:
    """Return the name that a folder stands for; without a note of it, what its own name (less a prefix) says."""
    try:
        return (folder / NAME).read_bytes().decode(errors="surrogatepass")
    except (OSError, UnicodeError):
        return unquote(folder.name.removeprefix(prefix))


def find_folder(parent: Path, name: str, prefix: str = "") -> Path:
    """Return the folder that stands for a name in a parent folder; it need not exist."""
    hashed, plain = (parent / f"{prefix}{folder}" for folder in (hashed_name(name), folder_name(name)))
    # Where case is ignored, the folder may be there for another name.
    return plain if plain.is_dir() and read_name(plain, prefix) == name else hashed if hashed.is_dir() else plain
