"""Clusters of short texts: split only where the split stands up to resampling. Texts in, labels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from warnings import catch_warnings, simplefilter

import numpy as np
from scipy import sparse

from rca_lib.stats.texts import WORDS, place_texts

STABLE, SMALLEST, LARGE = 0.9, 15, 150  # agreement of resamples, texts of a part, texts that are split at all
MOST_PARTS, RESAMPLES, RUNS, AXES, READ, TERMS = 6, 16, 8, 20, 2_000, 2
NEAR = 0.01  # numbers of parts as stable as the best but for this are as good: then the most parts


@dataclass(frozen=True, slots=True)
class TextSplit:
    """Each text's part (0 is the largest), the terms that set each part apart, and how stable the best split is.

    `stability` is the mean adjusted Rand index (Hubert and Arabie 1985) between the clusterings of resamples: 1 is the
    same split each time, 0 what chance gives. Below .9 all texts are part 0, which has no terms.
    """

    parts: tuple[int, ...]
    terms: tuple[tuple[str, ...], ...]
    stability: float


def split_texts(texts: Sequence[str], *, seed: int = 0) -> TextSplit:
    """Split texts, one per item in an order that does not hang on chance, by what they say, if the split is stable.

    Texts are placed by a sentence encoder and their words (`stats.texts`). Each number of parts from 2 to 6 is tried on
    sixteen resamples of 80 %, each clustered by what eight runs of k-means have in common (Strehl and Ghosh 2002); the
    most stable number is taken where its mean adjusted Rand index reaches .9, of equally stable ones the largest. A
    part has 15 texts or more and a word that sets it apart. Parts are learned from 2,000 texts at most, drawn by
    `seed`; the others are placed with those they are nearest to, and no text is left out.

    Notes
    -----
    Stable is not important: a split by boilerplate is stable too; and what is not stable may be there all the same. A
    kind of comment that fewer than 15 of the texts read are of is not told apart.

    Examples
    --------
    >>> split = split_texts(["screen stayed black"] * 30 + ["slur in local slang"] * 20)
    >>> split.terms, split.stability
    ((('black', 'screen'), ('local', 'slang')), 1.0)
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second to load, and few groups need it
    from threadpoolctl import threadpool_limits

    read = np.sort(np.random.default_rng(seed).choice(len(texts), min(len(texts), READ), replace=False))
    vectorizer = TfidfVectorizer(token_pattern=WORDS, min_df=2)
    try:
        vectorizer.fit([texts[place] for place in read])
    except ValueError:  # no word stands in two texts
        return TextSplit((0,) * len(texts), ((),), 0.0)
    with threadpool_limits(1):  # threads cost many times what they bring here, and may change the last digit
        points, words = place_texts(texts, seed=seed), vectorizer.transform(texts)
        splits, stability = _divide(points, np.isin(np.arange(len(texts)), read), seed)
        for parts in splits:
            if all(terms := _set_apart(words, parts, vectorizer.get_feature_names_out())):
                return TextSplit(tuple(parts.tolist()), terms, stability)
    return TextSplit((0,) * len(texts), ((),), stability)


def _divide(points: np.ndarray, read: np.ndarray, seed: int) -> tuple[list[np.ndarray], float]:
    """Return the stable splits, most parts first (part 0 is the largest), and the best agreement."""
    random = np.random.default_rng(seed)
    centred = points - points[read].mean(0)
    space = _unit(centred @ np.linalg.eigh(centred[read].T @ centred[read])[1][:, ::-1][:, :AXES])
    known = space[read]
    kinds = min(len(np.unique(known.round(6), axis=0)), len(known) // SMALLEST, MOST_PARTS)
    picks = [np.sort(random.choice(len(known), int(0.8 * len(known)), replace=False)) for _ in range(RESAMPLES)]
    tried = {count: _cluster(known, count, seed) for count in range(2, kinds + 1)}
    tried = {count: parts for count, parts in tried.items() if np.bincount(parts).min() >= SMALLEST}
    agreed = {count: _agreement(known, picks, count, seed) for count in tried}
    best = max(agreed.values(), default=0.0)
    stable = sorted((count for count in tried if agreed[count] >= max(best - NEAR, STABLE)), reverse=True)
    return [_place(space, read, tried[count]) for count in stable], best


def _place(space: np.ndarray, read: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Place the points that were not read with the part they are nearest to."""
    centres = np.array([space[read][parts == part].mean(0) for part in range(parts.max() + 1)])
    placed = (space @ centres.T - np.square(centres).sum(1) / 2).argmax(1)
    placed[read] = parts
    return np.argsort(np.argsort(-np.bincount(placed), kind="stable"))[placed]


def _agreement(points: np.ndarray, picks: list[np.ndarray], count: int, seed: int) -> float:
    """Return the mean adjusted Rand index between the clusterings of resamples, on the points that two share."""
    from sklearn.metrics import adjusted_rand_score

    runs = np.full((len(picks), len(points)), -1)
    for run, pick in zip(runs, picks, strict=True):
        run[pick] = _cluster(points[pick], count, seed)
    shared = [(one, two, (one >= 0) & (two >= 0)) for one, two in combinations(runs, 2)]
    return float(np.mean([adjusted_rand_score(one[both], two[both]) for one, two, both in shared]))


def _cluster(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Cluster points by what many runs of k-means have in common, not by one run's luck."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    random, blocks = np.random.default_rng(seed), []
    with catch_warnings():
        simplefilter("ignore", ConvergenceWarning)  # texts that are all alike make fewer parts than asked for
        for _ in range(RUNS):
            parts = KMeans(count, n_init=1, random_state=int(random.integers(2**31))).fit(points).labels_
            blocks.append(np.eye(count)[parts] / np.sqrt(np.maximum(np.bincount(parts, minlength=count), 1)))
        joined = np.hstack(blocks)
        shared = _unit(joined @ np.linalg.eigh(joined.T @ joined)[1][:, ::-1][:, :count])
        return KMeans(count, n_init=10, random_state=seed).fit(shared).labels_


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _set_apart(matrix: sparse.csr_matrix, parts: np.ndarray, words: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Return words that set each part apart: at least twice as frequent as in any other part and, by class (c-TF-IDF,
    Grootendorst 2022), of half the greatest weight; of these the first by the alphabet, so that chance hardly moves
    a name."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    kept = np.flatnonzero([" " not in word and word not in ENGLISH_STOP_WORDS for word in words])
    present = matrix[:, kept] > 0
    counts = np.array([np.asarray(present[parts == part].sum(axis=0)).ravel() for part in range(parts.max() + 1)])
    frequency = counts / np.bincount(parts)[:, None]
    weight = frequency * np.log1p(counts.sum() / len(counts) / np.maximum(counts.sum(axis=0), 1))
    weight[frequency < np.maximum(frequency.max(axis=0), 2 * np.sort(frequency, axis=0)[-2])] = 0.0
    strong = (weight > 0) & (weight >= weight.max(axis=1, initial=0.0)[:, None] / 2)
    return tuple(tuple(sorted(str(words[kept[place]]) for place in np.flatnonzero(row)))[:TERMS] for row in strong)
