"""Clusters of short texts: split only where the split stands up to resampling. Texts in, labels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import sparse

LONGEST, STABLE, SMALLEST, MOST_PARTS, RESAMPLES, DIMENSIONS, READ, TERMS = 2_000, 0.6, 15, 6, 5, 50, 2_000, 2
# Scripts that write no spaces are read sign by sign; neighbours count as pairs.
WORDS = r"(?u)[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]{2,}"


@dataclass(frozen=True, slots=True)
class TextSplit:
    """Each text's part (0 is the largest), the terms that set each part apart, and how stable the best split is.

    `stability` is the mean adjusted Rand index (Hubert and Arabie 1985) between the clusterings of resamples: 1 is the
    same split each time, 0 what chance gives. Below .6 all texts are part 0, which has no terms.
    """

    parts: tuple[int, ...]
    terms: tuple[tuple[str, ...], ...]
    stability: float


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


def split_texts(texts: Sequence[str], *, seed: int = 0) -> TextSplit:
    """Split texts, one per item in an order that does not hang on chance, by their words, if the split is stable.

    TF-IDF of words and word pairs, reduced by a truncated SVD (Deerwester et al. 1990) and clustered by k-means into 2
    to 6 parts. Each number of parts is tried on five resamples of 80 %, each of which then places all texts; of those
    whose mean adjusted Rand index reaches .6, the one with the best silhouette is taken. A part has 15 texts or more
    and a term that sets it apart. Words and parts are learned from 2,000 texts at most, drawn by `seed`; the others are
    placed with those they resemble, and no text is left out.

    Notes
    -----
    It sees words, not meaning: the same said in two languages makes two parts. Stable is not important: a split by
    boilerplate is stable too. A kind of comment that fewer than 15 of the texts read are of is not told apart.

    Examples
    --------
    >>> split = split_texts(["screen stayed black"] * 30 + ["slur in local slang"] * 20)
    >>> split.terms, split.stability
    ((('black', 'screen'), ('local', 'slang')), 1.0)
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second to load, and few groups need it
    from threadpoolctl import threadpool_limits

    random = np.random.default_rng(seed)
    read = np.sort(random.choice(len(texts), min(len(texts), READ), replace=False))
    vectorizer = TfidfVectorizer(token_pattern=WORDS, ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    try:
        vectorizer.fit([texts[place] for place in read])
    except ValueError:  # no word stands in two texts
        return TextSplit((0,) * len(texts), ((),), 0.0)
    picks = [np.sort(random.choice(read, int(0.8 * len(read)), replace=False)) for _ in range(RESAMPLES)]
    with threadpool_limits(1):  # threads cost many times what they bring here, and may change the last digit
        matrix = vectorizer.transform(texts)
        return _try_splits(matrix, vectorizer.get_feature_names_out(), [*picks, read], seed)


def _try_splits(matrix: sparse.csr_matrix, words: np.ndarray, picks: list[np.ndarray], seed: int) -> TextSplit:
    """Try each number of parts on the resamples and on all texts read, the last of `picks`; return the clearest."""
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    read, stability, splits = picks[-1], 0.0, []
    spaces = [_reduce(matrix, pick, seed) for pick in picks]
    kinds = min(len(np.unique(space[pick].round(6), axis=0)) for space, pick in zip(spaces, picks, strict=True))
    for count in range(2, min(kinds, MOST_PARTS) + 1):
        *runs, parts = (_cluster(space, pick, count, seed) for space, pick in zip(spaces, picks, strict=True))
        agreed = float(np.mean([adjusted_rand_score(*pair) for pair in combinations(runs, 2)]))
        stability, terms = max(stability, agreed), _set_apart(matrix[read], parts[read], words)
        if agreed >= STABLE and np.bincount(parts[read]).min() >= SMALLEST and all(terms):
            clear = silhouette_score(spaces[-1][read], parts[read])
            splits.append((float(clear), TextSplit(tuple(parts.tolist()), terms, agreed)))
    whole = TextSplit((0,) * matrix.shape[0], ((),), stability)
    return max(splits, key=lambda split: split[0])[1] if splits else whole


def _reduce(matrix: sparse.csr_matrix, pick: np.ndarray, seed: int) -> np.ndarray:
    """Place all texts on the main axes of those picked, each at distance 1 (0 where it has no known word)."""
    from sklearn.preprocessing import normalize
    from sklearn.utils.extmath import randomized_svd

    axes = randomized_svd(matrix[pick], min(DIMENSIONS, *matrix.shape), random_state=seed)[2]
    return normalize(matrix @ axes.T)


def _cluster(space: np.ndarray, pick: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Cluster the picked texts and place all; part 0 is the largest."""
    from sklearn.cluster import KMeans

    parts = KMeans(count, n_init=5, random_state=seed).fit(space[pick]).predict(space)
    sizes = np.bincount(parts, minlength=count)
    return np.argsort(np.argsort(-sizes, kind="stable"))[parts]


def _set_apart(matrix: sparse.csr_matrix, parts: np.ndarray, words: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Return words that set each part apart: at least twice as frequent as in any other part and, by class (c-TF-IDF,
    Grootendorst 2022), of half the greatest weight; of these the first by the alphabet, so that chance hardly moves
    a name."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    kept = np.flatnonzero([" " not in word and word not in ENGLISH_STOP_WORDS for word in words])
    present = matrix[:, kept] > 0
    counts = np.array([np.asarray(present[parts == part].sum(axis=0)).ravel() for part in range(parts.max() + 1)])
    frequency = counts / np.bincount(parts)[:, None]
    weight = frequency * np.log1p(counts.sum() / len(counts) / counts.sum(axis=0))
    weight[frequency < np.maximum(frequency.max(axis=0), 2 * np.sort(frequency, axis=0)[-2])] = 0.0
    strong = (weight > 0) & (weight >= weight.max(axis=1, initial=0.0)[:, None] / 2)
    return tuple(tuple(sorted(str(words[kept[place]]) for place in np.flatnonzero(row)))[:TERMS] for row in strong)
