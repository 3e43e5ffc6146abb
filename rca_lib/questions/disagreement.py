"""Over what do rater and audit disagree? Groups of policy, label and truth, split by text where that is stable."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from rca_lib.audits.counting import collect, column_names, fetch_errors, open_table
from rca_lib.findings import Finding, Grade, Rate
from rca_lib.stats.clusters import STABLE, read_texts, split_texts
from rca_lib.stats.rates import clustered_rate

LARGE, EXAMPLES, NAMED = 150, 10, 2
ALONE = 0.5  # a rater with more than this share of a cluster carries it


@dataclass(frozen=True, slots=True)
class Cluster:
    """Errors of one policy, label and truth, and of one kind of comment where `terms` are given.

    `id` stays the same from period to period. `share` is of all errors, with an interval that allows for rater
    clusters. `carried_by` is the rater who made more than half of the cluster's errors, if one did ("": none did).
    """

    id: str
    policy: str
    label: str
    truth: str
    terms: tuple[str, ...]
    errors: int
    share: Rate
    raters: int
    carried_by: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Disagreements:
    """The clusters, largest first; together they hold every error. `text_split` says which were split by text."""

    errors: int
    clusters: tuple[Cluster, ...]
    text_split: str

    def to_frame(self) -> pd.DataFrame:
        """Return a row per cluster: its fields, `share` with its interval `low` and `high`, and no comment."""
        shares = [{"share": one.share.value, "low": one.share.low, "high": one.share.high} for one in self.clusters]
        rows = [asdict(one) | share for one, share in zip(self.clusters, shares, strict=True)]
        return pd.DataFrame(rows, columns=[*Cluster.__dataclass_fields__, "low", "high"])

    def summary(self) -> str:
        """Say what most of the errors are about."""
        if not self.clusters:
            return "No errors: nothing to disagree about."
        return f"{self.errors:,} errors in {len(self.clusters):,} clusters. {_tell(self.clusters[0])} {self.text_split}"

    def findings(self) -> tuple[Finding, ...]:
        """Return the three largest clusters: "shown" where the interval lies above the next one's (last: half)."""
        found = []
        for place, one in enumerate(self.clusters[:3]):
            after = self.clusters[place + 1].share.high if place + 1 < len(self.clusters) else 0.5
            grade: Grade = "shown" if one.share.low > after else "possible"
            where = {name: getattr(one, name) for name in ("policy", "label", "truth") if getattr(one, name)}
            path = f"clusters[{place}].share"
            found.append(Finding("disagreement", "cluster", _tell(one), grade, one.share, path, where))
        return tuple(found)


def cluster_disagreements(audits: Any, *, seed: int = 0) -> Disagreements:
    """Group the errors by policy, label and truth, and large groups by what the comments say.

    A group of 150 comments or more is split by text if the split is the same on resamples (`split_texts`); errors
    without a comment are then a part of their own. No error is dropped.

    Parameters
    ----------
    audits
        One row per audited decision, with `audit_id`; `policy`, `rater`, `weight` and `comment` where they are there.
    seed
        For the resamples.

    Raises
    ------
    DataError
        If `audit_id`, `label` or `truth` is missing.

    Notes
    -----
    A large cluster is not a cause, nor anybody's fault: many raters on one pair point at the policy or the truth, one
    rater at the person, and neither is proof. Shares say nothing of how many items were at risk.

    Examples
    --------
    >>> audits = pd.DataFrame({"audit_id": ["1", "2", "3"], "policy": ["hate", "hate", "spam"], "rater": list("aba"),
    ...     "label": ["benign", "benign", "hate"], "truth": ["hate", "hate", "spam"]})
    >>> [(cluster.id, cluster.errors, cluster.raters) for cluster in cluster_disagreements(audits).clusters]
    [('hate: benign for hate', 2, 2), ('spam: hate for spam', 1, 1)]
    """
    names = ("audit_id", "label", "truth")
    open_table(audits, needs=names)
    rows = fetch_errors(audits, (*names, "policy", "rater", "weight", "comment"))
    rows = rows.sort_values("audit_id", ignore_index=True, kind="stable")
    for name in ("audit_id", "policy", "label", "truth", "rater", "comment"):
        rows[name] = read_texts(rows, name)
    rows["terms"], large, split = "", [], []
    for _, group in rows.groupby(["policy", "label", "truth"], sort=True):
        spoken = group.index[group["comment"].str.strip() != ""]
        if len(spoken) >= LARGE:
            found = split_texts(rows.loc[spoken, "comment"].tolist(), seed=seed)
            large.append(found.stability)
            if len(found.terms) > 1:
                split.append(found.stability)
                rows.loc[group.index, "terms"] = "no comment"
                named = np.array([", ".join(sorted(terms[:NAMED])) for terms in found.terms], object)
                rows.loc[spoken, "terms"] = named[list(found.parts)]
    groups = rows.groupby(["policy", "label", "truth", "terms"], sort=True).indices
    clusters = [_describe(rows, key, where) for key, where in groups.items()]
    clusters.sort(key=lambda one: (-one.errors, one.id))
    return Disagreements(len(rows), tuple(clusters), _tell_split(rows, large, split))


def show_examples(
    audits: Any, disagreements: Disagreements, *, per_cluster: int = 3, masked: bool = True
) -> pd.DataFrame:
    """Return examples of each cluster: `cluster`, `audit_id`, `label`, `truth`, `comment`.

    Comments may quote what harms: they are masked unless `masked` is False, and even then cut at 2,000 characters.
    Up to ten examples per cluster are at hand, of as many raters as possible.
    """
    owners = {audit: one.id for one in disagreements.clusters for audit in one.examples[:per_cluster]}
    names = [name for name in ("audit_id", "label", "truth", "comment") if name in column_names(audits)]
    table = open_table(audits, needs=("audit_id", "label", "truth"))
    rows = collect(table.filter(nw.col("audit_id").cast(nw.String).is_in(list(owners))).select(*names))
    texts = rows["comment"] if masked and "comment" in rows else read_texts(rows, "comment")
    rows["comment"] = [mask_text(text) if masked else text for text in texts]
    rows.insert(0, "cluster", rows["audit_id"].astype(str).map(owners))
    order = {audit: place for place, audit in enumerate(owners)}
    return rows.sort_values("audit_id", key=lambda ids: ids.astype(str).map(order), ignore_index=True)


def mask_text(text: str | None, *, keep: int = 0) -> str:
    """Replace a text by its length and its script; `keep` lets so many printable characters through.

    Examples
    --------
    >>> mask_text("You are an idiot"), mask_text("Привет", keep=2), mask_text(None)
    ('[16 characters, Latin]', 'Пр… [6 characters, Cyrillic]', '[no text]')
    """
    if not isinstance(text, str) or not text.strip():
        return "[no text]"
    letters = [character for character in text[:200] if character.isalpha()]
    scripts = Counter(unicodedata.name(letter, "unknown").split()[0] for letter in letters)
    script = max(sorted(scripts), key=lambda name: scripts[name]) if scripts else "no letters"
    script = script if script in ("CJK", "no letters") else script.title()
    begin = "".join(character for character in text[: 10 * keep] if character.isprintable())[:keep]
    return f"{begin}{'… ' if begin else ''}[{len(text):,} characters, {script}]"


def _describe(rows: pd.DataFrame, key: tuple[str, ...], where: np.ndarray) -> Cluster:
    policy, label, truth, terms = key
    mask, weight = np.zeros(len(rows), bool), rows["weight"].to_numpy(float)
    mask[where] = True
    codes = pd.factorize(rows["rater"])[0] if rows["rater"].ne("").any() else None
    share = clustered_rate(mask, np.ones(len(rows)), weight, weight**2, codes).rate
    raters = Counter(rows["rater"].iloc[where])
    top = min(raters, key=lambda rater: (-raters[rater], rater))
    turns = rows.iloc[where].groupby("rater").cumcount().sort_values(kind="stable").index[:EXAMPLES]
    return Cluster(
        id=(f"{policy}: " if policy else "") + f"{label} for {truth}" + (f" ({terms})" if terms else ""),
        policy=policy,
        label=label,
        truth=truth,
        terms=tuple(terms.split(", ")) if terms else (),
        errors=len(where),
        share=share,
        raters=len([rater for rater in raters if rater]),
        carried_by=top if len(where) > 1 and raters[top] > ALONE * len(where) else "",
        examples=tuple(rows["audit_id"].loc[turns]),
    )


def _tell(one: Cluster) -> str:
    many = f"{one.raters:,} raters, none with more than half of them" if one.raters > 1 else "one rater"
    who = "one rater made most of them" if one.carried_by and one.raters > 1 else many
    return f"{one.id}: {one.share} of the errors, {who if one.raters else 'raters not named'}."


def _tell_split(rows: pd.DataFrame, large: list[float], split: list[float]) -> str:
    if rows["comment"].eq("").all():
        return "Not split by text: there are no comments."
    if not large:
        return f"Not split by text: no group has {LARGE} comments."
    kept = len(large) - len(split)
    why = f"{kept} large group{'s' * (kept != 1)} kept whole: no split is stable (adjusted Rand {STABLE}) and clear."
    done = f"{len(split)} of {len(large)} large groups split by text."
    return f"{done} {why}" if split and kept else done if split else f"Not split by text: {why}"
