"""Over what do rater and audit disagree? Groups of policy, label and truth, split by text where that is stable."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from rca_lib.audits.counting import count_errors, fetch_errors, open_table
from rca_lib.findings import Estimate, Finding, Grade, Rate, count_noun, mark_units
from rca_lib.stats.clusters import LARGE, STABLE, split_texts
from rca_lib.stats.rates import clustered_rate, wilson_rate
from rca_lib.stats.texts import read_texts

EXAMPLES = 10
CLUSTER = ["policy", "label", "truth", "group"]
TEXTS = ("audit_id", "policy", "label", "truth", "rater", "comment")
NO_COMMENT = "no comment"
ALONE = 0.5  # a rater with more than this share of a cluster carries it


@dataclass(frozen=True, slots=True)
class Cluster:
    """Errors of one policy, label and truth, and of one kind of comment where `terms` are given.

    `id` quotes no comment: a part by text is a numbered text group. It stays the same from period to period; that of a
    text group as long as the words do that set the groups apart. `terms` are these words, for `show_examples` in
    clear; they may harm, and stand in no table, sentence or plot. `share`
    is of all errors, with an interval that allows for rater clusters, `rate` errors per audit. `excess` is how many
    errors more than at the rate of the baseline (None: none was given). `carried_by` is the rater who made more than
    half of the cluster's errors, if one did ("": none did).
    """

    id: str
    policy: str
    label: str
    truth: str
    terms: tuple[str, ...] = field(repr=False)
    errors: int
    share: Rate
    rate: Rate
    excess: Estimate | None
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
        """Return a row per cluster: `share` with its interval `low` and `high`, its rate and excess, and no comment."""
        ends = ("share", "low", "high")
        rows = [asdict(one) | dict(zip(ends, astuple(one.share)[2:5], strict=True)) for one in self.clusters]
        for row, one in zip(rows, self.clusters, strict=True):
            row |= {"rate": one.rate.value, "excess": one.excess.value if one.excess else float("nan")}
        frame = pd.DataFrame(rows, columns=[*Cluster.__dataclass_fields__, "low", "high"]).drop(columns="terms")
        return mark_units(frame, **dict.fromkeys(("share", "low", "high", "rate"), "%"))

    def summary(self) -> str:
        """Say what most of the errors are about."""
        if not self.clusters:
            return "No errors: nothing to disagree about."
        counted = f"{count_noun(self.errors, 'error')} in {count_noun(len(self.clusters), 'cluster')}"
        return f"{counted}. {_tell(self.clusters[0])} {self.text_split}"

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


def cluster_disagreements(audits: Any, *, baseline: Any = None, seed: int = 0) -> Disagreements:
    """Group the errors by policy, label and truth, and large groups by what the comments say.

    A group of 150 comments or more is split by text if the split is the same on resamples; it is learned from 2,000 of
    the group's comments at most, drawn by `seed`, and places the others (`split_texts`). Errors without a comment are
    then a part of their own. No error is dropped.

    Parameters
    ----------
    audits
        One row per audited decision, with `audit_id`; `policy`, `rater`, `weight` and `comment` where they are there.
    baseline
        Audits of an earlier period. Both are clustered together, so that a cluster is the same in both and its growth
        can be told.

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
    tables = [audits] if baseline is None else [audits, baseline]
    for table in tables:
        open_table(table, needs=("audit_id", "label", "truth"))
    parts = [fetch_errors(table, (*TEXTS, "weight")).assign(now=place == 0) for place, table in enumerate(tables)]
    rows = pd.concat(parts).sort_values(["now", "audit_id"], ascending=[False, True], ignore_index=True, kind="stable")
    rows = rows.assign(**{name: read_texts(rows, name) for name in TEXTS}, group="")
    done, terms = [], {}
    for key, group in rows.groupby(CLUSTER[:3], sort=True):
        spoken = group.index[group["comment"].str.strip() != ""]
        if len(spoken) >= LARGE:
            split = split_texts(rows.loc[spoken, "comment"].tolist(), seed=seed)
            done.append(len(split.terms) > 1)
            rows.loc[group.index, "group"] = NO_COMMENT if done[-1] else ""
            named = _name_groups(split.terms) if done[-1] else [""]
            terms |= {(*key, name): words for name, words in zip(named, split.terms, strict=True)}
            rows.loc[spoken, "group"] = [named[part] for part in split.parts]
    sizes = [float(count_errors(table)["weight"].sum()) for table in tables]
    former = rows[~rows["now"]].groupby(CLUSTER)["weight"].agg(["sum", lambda weight: float(np.square(weight).sum())])
    rows = rows[rows["now"]]
    raters = pd.factorize(rows["rater"])[0] if rows["rater"].any() else None
    clusters = [
        _describe(rows, key, terms.get(key, ()), where, raters, sizes,
                  tuple(former.loc[key]) if key in former.index else (0.0, 0.0))
        for key, where in rows.groupby(CLUSTER, sort=True).indices.items()
    ]  # fmt: skip
    clusters.sort(key=lambda one: (-one.errors, one.id))
    return Disagreements(len(rows), tuple(clusters), _tell_split(done))


def show_examples(
    audits: Any, disagreements: Disagreements, *, per_cluster: int = 3, masked: bool = True
) -> pd.DataFrame:
    """Return `cluster`, `audit_id`, `label`, `truth`, `comment` of examples, at most ten per cluster, by many raters.

    Comments may quote what harms: they are masked by `mask_text` unless `masked` is False, and even then cut at 2,000
    characters. Then `words` are those that set a text group apart.
    """
    pairs = [(one.id, audit) for one in disagreements.clusters for audit in one.examples[:per_cluster]]
    rows = fetch_errors(audits, ("audit_id", "label", "truth", "comment"))
    rows["audit_id"] = read_texts(rows, "audit_id")
    found = pd.DataFrame(pairs, columns=["cluster", "audit_id"], dtype="str").merge(rows, on="audit_id")
    found = found.reindex(columns=["cluster", "audit_id", "label", "truth", "comment"])
    if masked:
        return found.assign(comment=found["comment"].map(mask_text))
    words = {one.id: ", ".join(one.terms) for one in disagreements.clusters}
    return found.assign(comment=read_texts(found, "comment"), words=found["cluster"].map(words))


def mask_text(text: str | None) -> str:
    """Replace a text by its length and its script.

    Examples
    --------
    >>> mask_text("You are an idiot"), mask_text("Привет"), mask_text(None)
    ('[16 characters, Latin]', '[6 characters, Cyrillic]', '[no text]')
    """
    if not isinstance(text, str) or not text.strip():
        return "[no text]"
    scripts = Counter(unicodedata.name(sign, "unknown").split()[0].title() for sign in text[:200] if sign.isalpha())
    script = min(scripts, key=lambda name: (-scripts[name], name)) if scripts else "no letters"
    return f"[{len(text):,} characters, {script.replace('Cjk', 'CJK')}]"


def _describe(
    rows: pd.DataFrame,
    key: tuple[str, ...],
    terms: tuple[str, ...],
    where: np.ndarray,
    raters: np.ndarray | None,
    sizes: Sequence[float],
    former: Sequence[float],
) -> Cluster:
    policy, label, truth, group = key
    name = (f"{policy}: " if policy else "") + f"{label} for {truth}" + (f" ({group})" if group else "")
    weight, own = rows["weight"].to_numpy(float), rows.iloc[where]
    share = clustered_rate(np.isin(np.arange(len(rows)), where), np.ones(len(rows)), weight, weight**2, raters).rate
    counts = own.loc[own["rater"] != "", "rater"].value_counts()
    carrier = str(counts.idxmax()) if len(own) > 1 and counts.max() > ALONE * len(own) else ""
    turns = own.groupby("rater").cumcount().sort_values(kind="stable").index[:EXAMPLES]
    examples = tuple(own["audit_id"].loc[turns])
    heavy = float(own["weight"].sum())
    rate, excess = wilson_rate(heavy, sizes[0]), _excess(own["weight"].to_numpy(float), sizes, former)
    return Cluster(
        name, policy, label, truth, terms, len(own), share, rate, excess, len(counts), carrier, examples
    )  # fmt: skip


def _name_groups(terms: Sequence[tuple[str, ...]]) -> list[str]:
    """Number the groups by the alphabet of their words, which moves less from period to period than their sizes."""
    place = {words: number for number, words in enumerate(sorted(set(terms)), start=1)}
    return [f"text group {place[words]}" for words in terms]


def _excess(weight: np.ndarray, sizes: Sequence[float], former: Sequence[float]) -> Estimate | None:
    """Return the errors beyond those at the baseline's rate, in errors as they are counted; counts are Poisson."""
    if len(sizes) < 2 or not sizes[1]:
        return None
    scale, grown = len(weight) / float(weight.sum()), sizes[0] / sizes[1]
    value = float(weight.sum()) - grown * former[0]
    half = 1.96 * float(np.sqrt(np.square(weight).sum() + grown**2 * former[1]))
    return Estimate(*(round(one * scale, 9) for one in (value, value - half, value + half)), "errors")


def _tell(one: Cluster) -> str:
    many = f"{count_noun(one.raters, 'rater')}, none with more than half of them" if one.raters > 1 else "one rater"
    grown = f" {one.excess} more than before," if one.excess and float(one.excess.low) > 0 else ""
    who = "one rater made most of them" if one.carried_by and one.raters > 1 else many
    return f"{one.id}: {one.share} of the errors,{grown} {who if one.raters else 'raters not named'}."


def _tell_split(split: list[bool]) -> str:
    if not split:
        return f"Not split by text: no group has {LARGE} comments."
    whole = f" No split of the others is stable (adjusted Rand {STABLE}) and clear." if not all(split) else ""
    return f"{sum(split)} of {count_noun(len(split), 'large group')} split by text.{whole}"
