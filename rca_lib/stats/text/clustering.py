"""Clustering of short texts: texts are split only if the split is stable under resampling.

1. Embed the texts (`embedding`), centre them and project them on 20 principal components, each text of length 1.
2. For every number of clusters from 2 to 6, cluster by consensus k-means: eight runs of k-means give an indicator
   matrix of cluster membership; its spectral embedding is clustered again (Strehl and Ghosh 2002).
3. Repeat on 16 resamples of 80 %. The stability is the mean adjusted Rand index (Hubert and Arabie 1985) between the
   clusterings of two resamples, on the texts that both contain.
4. Accept the most stable number of clusters if its stability is at least 0.9; of equally stable ones, the largest.
   Every cluster needs at least 15 texts and a term that distinguishes it.

References: Strehl and Ghosh 2002, JMLR 3; Hubert and Arabie 1985, Journal of Classification 2; Grootendorst 2022
(class-based TF-IDF), arXiv 2203.05794.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from warnings import catch_warnings, simplefilter

import numpy as np
from scipy import sparse

from rca_lib.stats.text.embedding import TOKEN_PATTERN, embed_texts

MIN_STABILITY = 0.9  # mean adjusted Rand index between resamples
MIN_CLUSTER_SIZE = 15  # texts of a cluster
MIN_TEXTS = 150  # texts of a group that callers split at all
MAX_CLUSTERS = 6
N_RESAMPLES = 16
RESAMPLE_SHARE = 0.8
N_KMEANS_RUNS = 8  # combined into one consensus clustering
N_FINAL_RUNS = 10  # restarts of the k-means on the consensus
N_COMPONENTS = 20  # principal components of the embedding
MAX_FITTED_TEXTS = 2_000  # texts that the clusters are learned from; the others are assigned afterwards
N_TERMS = 2  # terms per cluster
STABILITY_TOLERANCE = 0.01  # numbers of clusters this close to the most stable one are equally stable
MIN_FREQUENCY_RATIO = 2  # of a term, over any other cluster
MIN_WEIGHT_SHARE = 1 / 2  # of a term's weight, relative to the cluster's largest


@dataclass(frozen=True, slots=True)
class TextClustering:
    """Clusters of texts.

    Attributes
    ----------
    labels
        Cluster of each text; 0 is the largest.
    terms
        Terms that distinguish each cluster; empty if the texts are not split.
    stability
        Mean adjusted Rand index between the clusterings of resamples, for the best number of clusters. 1: the same
        clusters every time. 0: as expected by chance. Below 0.9 all texts are in cluster 0.
    """

    labels: tuple[int, ...]
    terms: tuple[tuple[str, ...], ...]
    stability: float


def cluster_texts(texts: Sequence[str], *, seed: int = 0) -> TextClustering:
    """Cluster texts by their content if the clusters are stable.

    Parameters
    ----------
    texts
        One text per item, in an order that does not depend on chance.
    seed
        Seed of sampling, resampling and k-means.

    Returns
    -------
    TextClustering
        Cluster of each text, distinguishing terms, and stability.

    Notes
    -----
    The method is described at the top of the module. Clusters are learned from at most 2,000 texts, drawn by `seed`.
    The other texts are assigned to the nearest cluster; none is left out.

    A stable split is not necessarily important: boilerplate is stable too. An unstable split may still be real. Topics
    with fewer than 15 of the texts that were read cannot be detected.

    References
    ----------
    Strehl and Ghosh 2002 (consensus clustering); Hubert and Arabie 1985 (adjusted Rand index).

    Examples
    --------
    >>> clustering = cluster_texts(["screen stayed black"] * 30 + ["slur in local slang"] * 20)
    >>> clustering.terms, clustering.stability
    ((('black', 'screen'), ('local', 'slang')), 1.0)
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second to load, and few groups need it
    from threadpoolctl import threadpool_limits

    n_texts = len(texts)
    sampled = np.sort(np.random.default_rng(seed).choice(n_texts, min(n_texts, MAX_FITTED_TEXTS), replace=False))
    is_fitted = np.isin(np.arange(n_texts), sampled)
    vectorizer = TfidfVectorizer(token_pattern=TOKEN_PATTERN, min_df=2)
    try:
        vectorizer.fit([texts[index] for index in sampled])
    except ValueError:  # no word occurs in two texts
        return TextClustering((0,) * n_texts, ((),), 0.0)
    with threadpool_limits(1):  # threads cost much more than they save here, and may change the last digit
        points, term_weights = embed_texts(texts, seed=seed), vectorizer.transform(texts)
        clusterings, stability = _find_stable_clusterings(points, is_fitted, seed)
        for labels in clusterings:
            terms = _distinctive_terms(term_weights, labels, vectorizer.get_feature_names_out())
            if all(terms):
                return TextClustering(tuple(labels.tolist()), terms, stability)
    return TextClustering((0,) * n_texts, ((),), stability)


def _find_stable_clusterings(points: np.ndarray, is_fitted: np.ndarray, seed: int) -> tuple[list[np.ndarray], float]:
    """Return the stable clusterings, most clusters first, and the highest stability."""
    random = np.random.default_rng(seed)
    centred = points - points[is_fitted].mean(0)
    eigenvectors = np.linalg.eigh(centred[is_fitted].T @ centred[is_fitted])[1]
    components = _normalize_rows(centred @ eigenvectors[:, ::-1][:, :N_COMPONENTS])
    fitted = components[is_fitted]
    n_fitted = len(fitted)
    n_distinct = len(np.unique(fitted.round(6), axis=0))
    max_clusters = min(n_distinct, n_fitted // MIN_CLUSTER_SIZE, MAX_CLUSTERS)
    resamples = [
        np.sort(random.choice(n_fitted, int(RESAMPLE_SHARE * n_fitted), replace=False)) for _ in range(N_RESAMPLES)
    ]
    candidates = {count: _consensus_kmeans(fitted, count, seed) for count in range(2, max_clusters + 1)}
    candidates = {
        count: labels for count, labels in candidates.items() if np.bincount(labels).min() >= MIN_CLUSTER_SIZE
    }
    stabilities = {count: _resampling_stability(fitted, resamples, count, seed) for count in candidates}
    best = max(stabilities.values(), default=0.0)
    threshold = max(best - STABILITY_TOLERANCE, MIN_STABILITY)
    stable = sorted((count for count in candidates if stabilities[count] >= threshold), reverse=True)
    return [_assign_to_nearest(components, is_fitted, candidates[count]) for count in stable], best


def _assign_to_nearest(points: np.ndarray, is_fitted: np.ndarray, fitted_labels: np.ndarray) -> np.ndarray:
    """Assign the other points to the nearest cluster centre; number the clusters by size, largest first."""
    fitted = points[is_fitted]
    centres = np.array([fitted[fitted_labels == label].mean(0) for label in range(fitted_labels.max() + 1)])
    labels = (points @ centres.T - np.square(centres).sum(1) / 2).argmax(1)
    labels[is_fitted] = fitted_labels
    rank_by_size = np.argsort(np.argsort(-np.bincount(labels), kind="stable"))
    return rank_by_size[labels]


def _resampling_stability(points: np.ndarray, resamples: list[np.ndarray], n_clusters: int, seed: int) -> float:
    """Return the mean adjusted Rand index between the clusterings of resamples, on the points that two share."""
    from sklearn.metrics import adjusted_rand_score

    clusterings = np.full((len(resamples), len(points)), -1)
    for labels, resample in zip(clusterings, resamples, strict=True):
        labels[resample] = _consensus_kmeans(points[resample], n_clusters, seed)
    scores = []
    for first, second in combinations(clusterings, 2):
        shared = (first >= 0) & (second >= 0)
        scores.append(adjusted_rand_score(first[shared], second[shared]))
    return float(np.mean(scores))


def _consensus_kmeans(points: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Return the consensus of several runs of k-means, so that the result does not depend on one run."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    random = np.random.default_rng(seed)
    indicators = []
    with catch_warnings():
        simplefilter("ignore", ConvergenceWarning)  # identical texts make fewer clusters than requested
        for _ in range(N_KMEANS_RUNS):
            labels = KMeans(n_clusters, n_init=1, random_state=int(random.integers(2**31))).fit(points).labels_
            sizes = np.maximum(np.bincount(labels, minlength=n_clusters), 1)
            indicators.append(np.eye(n_clusters)[labels] / np.sqrt(sizes))
        joined = np.hstack(indicators)
        eigenvectors = np.linalg.eigh(joined.T @ joined)[1]
        consensus = _normalize_rows(joined @ eigenvectors[:, ::-1][:, :n_clusters])
        return KMeans(n_clusters, n_init=N_FINAL_RUNS, random_state=seed).fit(consensus).labels_


def _normalize_rows(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _distinctive_terms(
    term_weights: sparse.csr_matrix, labels: np.ndarray, vocabulary: np.ndarray
) -> tuple[tuple[str, ...], ...]:
    """Return up to two terms that distinguish each cluster.

    A term is at least twice as frequent as in any other cluster and has at least half of the cluster's largest weight
    by class-based TF-IDF (Grootendorst 2022). Of these terms, the first in alphabetical order are returned, so that
    chance hardly changes the name of a cluster.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    eligible = np.flatnonzero([" " not in term and term not in ENGLISH_STOP_WORDS for term in vocabulary])
    present = term_weights[:, eligible] > 0
    n_clusters = labels.max() + 1
    counts = np.array([np.asarray(present[labels == label].sum(axis=0)).ravel() for label in range(n_clusters)])
    frequency = counts / np.bincount(labels)[:, None]
    weight = frequency * np.log1p(counts.sum() / n_clusters / np.maximum(counts.sum(axis=0), 1))
    second_frequency = np.sort(frequency, axis=0)[-2]
    threshold = np.maximum(frequency.max(axis=0), MIN_FREQUENCY_RATIO * second_frequency)
    weight[frequency < threshold] = 0.0
    largest = weight.max(axis=1, initial=0.0)[:, None]
    strong = (weight > 0) & (weight >= largest * MIN_WEIGHT_SHARE)
    return tuple(
        tuple(sorted(str(vocabulary[eligible[index]]) for index in np.flatnonzero(row)))[:N_TERMS] for row in strong
    )
