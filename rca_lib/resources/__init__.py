"""Files that the package needs at run time: notebooks, batch files, mappings, and the default taxonomy.

A checkout keeps one copy of them, in `notebooks/` and `parameters/` of the project. A wheel carries them in this
package (see `setup.py`).
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE_FOLDER = Path(__file__).resolve().parent
PROJECT_FOLDER = _PACKAGE_FOLDER.parents[1]


def is_checkout() -> bool:
    """Tell whether the package runs from a checkout of the project rather than from a wheel."""
    return not (_PACKAGE_FOLDER / "notebooks").is_dir()


def find_resource(*parts: str) -> Path:
    """Return the path of a file or folder that travels with the package.

    Parameters
    ----------
    parts
        The path below the project's root, such as "parameters", "taxonomy.yml".

    Examples
    --------
    >>> find_resource("parameters", "taxonomy.yml").name
    'taxonomy.yml'
    """
    return (PROJECT_FOLDER if is_checkout() else _PACKAGE_FOLDER).joinpath(*parts)
