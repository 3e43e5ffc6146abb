"""Causes learned from comments, and clusters of comments: python tests/benchmarks/bench_text.py FILE.csv [FILE.csv …].

Each file has the columns `text` and `label`, short texts with known fine labels. Causes: of up to ten labels two
hundred texts are coded and a thousand asked about, by draws of `--seed`; beside it TF-IDF with a logistic regression as
scikit-learn has them by default. Prints macro-F1, the expected calibration error (ten bins), and what is left and right
at each confidence. Clusters: the texts of up to eight labels are split on resamples of 80 %; prints how far the splits
of the texts that two resamples share agree (adjusted Rand index), how far they tell the labels, and the parts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, f1_score, normalized_mutual_info_score

from rca_lib.stats.text.classifier import fit_code_classifier
from rca_lib.stats.text.clustering import cluster_texts
from rca_lib.stats.text.embedding import embed_texts

CODED, ASKED, LABELS, LEVELS = 200, 1000, 10, (0.5, 0.6, 0.7, 0.8)
CLUSTERED, FEW_LABELS, RESAMPLES = 1500, 8, 3


def main() -> None:
    """Print one table for the causes and one for the clusters."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seed", type=int, default=700)
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.draws)
    heads = ["texts", "macro-F1", "TF-IDF", "ECE", *(f"≥ {one}: left, right" for one in LEVELS), "CPU s"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")  # noqa: T201
    tables = {file.stem: pd.read_csv(file).dropna(subset=["text", "label"]) for file in options.files}
    for name, table in tables.items():
        found = pd.DataFrame([_code(table, seed) for seed in seeds]).mean()
        levels = [f"{found[f'left {one}']:.2f}, {found[f'right {one}']:.2f}" for one in LEVELS]
        numbers = [f"{found[one]:.3f}" for one in ("f1", "usual", "gap")]
        levels.append(f"{found['seconds']:.1f}")
        print(f"| {' | '.join([name, *numbers, *levels])} |")  # noqa: T201
    print("\n| texts | agreement of resamples | labels told (NMI) | parts | CPU s |\n|---|---|---|---|---|")  # noqa: T201
    for name, table in tables.items():
        for line in _split(table, options.seed):
            print(f"| {name} | {line} |")  # noqa: T201


def _draw(table: pd.DataFrame, seed: int, labels: int, size: int) -> pd.DataFrame:
    """Draw labels with thirty texts or more, and texts of these, the first three of each label first."""
    random = np.random.default_rng(seed)
    counts = table["label"].value_counts()
    known = sorted(counts.index[counts >= 30])
    chosen = random.choice(known, min(labels, len(known)), replace=False)
    rows = table[table["label"].isin(chosen)]
    rows = rows.iloc[random.permutation(len(rows))]
    first = rows.groupby("label").head(3)
    rest = rows.drop(first.index)
    return pd.concat([first, rest.iloc[random.permutation(len(rest))]]).iloc[:size]


def _code(table: pd.DataFrame, seed: int) -> dict[str, float]:
    rows = _draw(table, seed, LABELS, CODED + ASKED)
    coded, asked = rows.iloc[:CODED], rows.iloc[CODED:]
    begin = time.process_time()
    points = embed_texts(rows["text"].tolist(), seed=seed)
    codes, names = pd.factorize(coded["label"], sort=True)
    chances = fit_code_classifier(points[:CODED], codes, points[CODED:], seed=seed).unlabelled
    seconds = time.process_time() - begin
    sure, right = chances.max(1), names[chances.argmax(1)] == asked["label"].to_numpy()
    bins = np.minimum((10 * sure).astype(int), 9)
    words = TfidfVectorizer().fit(coded["text"])
    usual = LogisticRegression(max_iter=500).fit(words.transform(coded["text"]), coded["label"])
    found = {
        "f1": f1_score(asked["label"], names[chances.argmax(1)], average="macro"),
        "usual": f1_score(asked["label"], usual.predict(words.transform(asked["text"])), average="macro"),
        "gap": sum(abs((sure - right)[bins == one].sum()) for one in range(10)) / len(right),
        "seconds": seconds,
    }
    for level in LEVELS:
        left = sure >= level
        found |= {f"left {level}": left.mean(), f"right {level}": right[left].mean() if left.any() else np.nan}
    return found


def _split(table: pd.DataFrame, seed: int) -> Iterator[str]:
    rows = _draw(table, seed, FEW_LABELS, CLUSTERED)
    texts, labels, runs = rows["text"].to_numpy(object), rows["label"].to_numpy(object), []
    begin = time.process_time()
    for resample in range(RESAMPLES):
        pick = np.sort(np.random.default_rng(resample).choice(len(texts), int(0.8 * len(texts)), replace=False))
        run = np.full(len(texts), -1)
        run[pick] = cluster_texts(texts[pick].tolist(), seed=seed).labels
        runs.append(run)
    seconds = (time.process_time() - begin) / RESAMPLES
    shared = [(one, two, (one >= 0) & (two >= 0)) for one, two in combinations(runs, 2)]
    agreed = np.mean([adjusted_rand_score(one[both], two[both]) for one, two, both in shared])
    told = np.mean([normalized_mutual_info_score(labels[run >= 0], run[run >= 0]) for run in runs])
    parts = ", ".join(str(run.max() + 1) for run in runs)
    yield f"{agreed:.2f} | {told:.2f} | {parts} | {seconds:.1f}"


if __name__ == "__main__":
    main()
