# Tested in tests/questions/test_alternative_explanations.py.
"""Which sampling streams the rates come from, and whether two periods can be compared.

Only random and stratified audits represent all decisions ("proportional" streams). Targeted, seeded or escalated audits
do not. A change of the streams between two periods can look like a change of quality. This module counts the
first-round audits of each stream and classifies the basis of both periods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from rca_lib.audits.counting import column_names, count_errors, keep_first_round, select_streams
from rca_lib.audits.schema import PROPORTIONAL_STREAMS
from rca_lib.findings import Finding, Quantity, format_count, join_words
from rca_lib.result import Result

SamplingKind = Literal["not comparable", "basis", "unnamed", "unweighted", "second rounds"]

Basis = Literal["proportional", "other", "unknown"]


@dataclass(frozen=True, slots=True)
class StreamCount:
    """First-round audits of one stream in both periods.

    Attributes
    ----------
    stream
        The stream; "" where audits name none.
    baseline, current
        Audits in the baseline and in the current period.
    used
        Whether the rates of the current period count them.
    """

    stream: str
    baseline: int
    current: int
    used: bool


@dataclass(frozen=True, slots=True)
class Sampling(Result):
    """What the rates of a period and of its baseline represent.

    Attributes
    ----------
    streams
        First-round audits by stream.
    basis
        "proportional" where random or stratified audits exist, "other" where all named streams are others, "unknown"
        where no audit names its stream.
    basis_before
        The same for the baseline; None without a baseline.
    used, used_before
        Audits that the rates count, by stream, in the period and in the baseline.
    left_out
        Audits of other streams, which the rates do not count.
    unnamed, unnamed_before
        Audits without a stream while others name theirs. The rates do not count them.
    unweighted
        Whether stratified audits of one of the periods have no weights.
    only_second_rounds
        Whether the period has only audits of audits.
    has_stream_column
        Whether the audits have a column `stream`.
    """

    streams: tuple[StreamCount, ...]
    basis: Basis
    basis_before: Basis | None
    used: Mapping[str, int]
    used_before: Mapping[str, int]
    left_out: int
    unnamed: int
    unnamed_before: int
    unweighted: bool
    only_second_rounds: bool
    has_stream_column: bool

    @property
    def audits(self) -> int:
        """Number of audits that the rates of the period count."""
        return sum(self.used.values())

    @property
    def comparable(self) -> bool:
        """Whether both periods represent all decisions, or nothing is known of either. True without a baseline."""
        return self.basis_before is None or self.basis == self.basis_before != "other"

    @property
    def same_streams(self) -> bool:
        """Whether the audits of both periods come from the same streams, so that a change can be described."""
        return self.comparable or (self.basis == self.basis_before and set(self.used) == set(self.used_before))

    @property
    def difference(self) -> str:
        """How the sampling of the two periods differs, as a clause; "" where they are comparable."""
        if self.comparable:
            return ""
        current, baseline = _format_streams(self.used), _format_streams(self.used_before)
        if self.same_streams:
            return f"neither period has random or stratified audits, only {current} audits"
        return (
            f"audits of this period {_format_predicate(current)}, those of the baseline {_format_predicate(baseline)}"
        )

    @property
    def description(self) -> str:
        """The audits that the rates count, in words.

        Examples
        --------
        >>> describe_sampling(pd.DataFrame({"stream": ["targeted"] * 3, "error": 0})).description
        '3 targeted audits'
        """
        streams = ", ".join(map(_format_stream, self.used))
        return format_count(self.audits, f"{streams} audit" if streams else "audit")

    def to_frame(self) -> pd.DataFrame:
        """Return the counts by stream.

        Returns
        -------
        DataFrame
            One row per stream: `stream`, first-round audits `before` (baseline) and `now` (period), and whether the
            rates count them (`used`).
        """
        rows = [
            (_format_stream(count.stream) or "(not named)", count.baseline, count.current, count.used)
            for count in self.streams
        ]
        return pd.DataFrame(rows, columns=["stream", "before", "now", "used"])

    def summary(self) -> str:
        """Say what the rates come from, what is left out, and whether the periods can be compared."""
        return " ".join(finding.sentence for finding in self.findings())

    def findings(self) -> tuple[Finding[SamplingKind], ...]:
        """Return the findings: "not comparable" first where it applies, then the basis and what is left out."""
        sentences: dict[SamplingKind, str] = {
            "not comparable": f"Not comparable: {self.difference}." if not self.comparable else "",
            "basis": self._format_basis(),
            "unnamed": self._format_unnamed(),
            "unweighted": (
                "Stratified audits have no weights: a change in the strata cannot be told apart from a change in"
                " accuracy."
                if self.unweighted
                else ""
            ),
            "second rounds": (
                "The period has no first-round audits: the rates come from audits of audits."
                if self.only_second_rounds
                else ""
            ),
        }
        findings: list[Finding[SamplingKind]] = []
        for kind, sentence in sentences.items():
            if sentence:
                path = "unnamed" if kind == "unnamed" and self.unnamed else "audits"
                estimate = Quantity(float(getattr(self, path)), unit="audits")
                findings.append(Finding("sampling", kind, sentence, "shown", estimate, path))
        return tuple(findings)

    def _format_basis(self) -> str:
        """Say which audits the rates come from."""
        if self.basis == "unknown":
            return "The sampling is unknown: no audit names its stream."
        if self.basis == "other":
            return f"The rates come from {self.description}, which do not represent all decisions."
        rest = (
            f"; {format_count(self.left_out, 'audit')} drawn in other ways (such as targeted audits) are left out"
            if self.left_out
            else ""
        )
        return f"The rates come from {self.description}{rest}."

    def _format_unnamed(self) -> str:
        """Say how many audits are left out because they name no stream."""
        if not self.unnamed and not self.unnamed_before:
            return ""
        total = self.audits + self.left_out + self.unnamed
        before = f" ({self.unnamed_before:,} before)" if self.basis_before else ""
        return (
            f"{self.unnamed:,} of {format_count(total, 'audit')}{before} name no stream and are left out:"
            " they may not represent all decisions."
        )


def describe_sampling(current: Any, baseline: Any = None) -> Sampling:
    """Describe the streams that the rates of a period come from, and whether the baseline is comparable.

    Parameters
    ----------
    current, baseline
        One row per audit, every stream and round: `error`, or `label` and `truth`; `stream`, `audit_round` and `weight`
        where they exist. `baseline` is None where there is no earlier period.

    Returns
    -------
    Sampling
        Periods are comparable where both have random or stratified audits, or where no audit of either names its
        stream. Audits without a stream are left out where other audits name theirs.

    Notes
    -----
    It cannot see whether a sample called random was drawn at random. It cannot see a change within a stream, such as
    new targeting rules.

    Examples
    --------
    >>> audits = pd.DataFrame({"stream": ["random"] * 3, "error": 0})
    >>> describe_sampling(audits.assign(stream="targeted"), audits).comparable
    False
    """
    current_counts = _count_streams(current)
    baseline_counts = current_counts.iloc[:0] if baseline is None else _count_streams(baseline)
    used, used_before = (
        {name: int(counts["items"][name]) for name in select_streams(counts.index)}
        for counts in (current_counts, baseline_counts)
    )
    now, before = (
        {str(name): int(items) for name, items in counts["items"].items()}
        for counts in (current_counts, baseline_counts)
    )
    basis, basis_before = _classify_basis(current_counts.index), _classify_basis(baseline_counts.index)
    unnamed = 0 if basis == "unknown" else now.get("", 0)
    unnamed_before = 0 if basis_before == "unknown" else before.get("", 0)
    return Sampling(
        streams=tuple(
            StreamCount(name, before.get(name, 0), now.get(name, 0), name in used) for name in sorted({*now, *before})
        ),
        basis=basis,
        basis_before=None if baseline is None else basis_before,
        used=used,
        used_before=used_before,
        left_out=sum(now.values()) - sum(used.values()) - unnamed,
        unnamed=unnamed,
        unnamed_before=unnamed_before,
        unweighted=_lacks_weights(current_counts) or _lacks_weights(baseline_counts),
        only_second_rounds=_has_second_rounds_only(current),
        has_stream_column="stream" in column_names(current),
    )


def _count_streams(audits: Any) -> pd.DataFrame:
    """Count first-round audits by stream, "" where none is named."""
    first_round = keep_first_round(audits)
    counts = count_errors(first_round, ["stream"] if "stream" in column_names(first_round) else [])
    counts = counts if "stream" in counts else counts.assign(stream="")
    names = ["" if pd.isna(name) else str(name) for name in counts["stream"]]
    return counts.assign(stream=names).groupby("stream", sort=True).sum()


def _classify_basis(streams: pd.Index) -> Basis:
    """Classify what the named streams represent."""
    if not any(streams):
        return "unknown"
    return "proportional" if set(streams) & set(PROPORTIONAL_STREAMS) else "other"


def _lacks_weights(counts: pd.DataFrame) -> bool:
    """Tell whether each stratified audit counts as one, as it does without weights."""
    stratified = counts[counts.index == "stratified"]
    weighs_one = stratified[["weight", "squared_weight"]].eq(stratified["items"], axis=0)
    return len(stratified) > 0 and bool(weighs_one.to_numpy().all())


def _has_second_rounds_only(audits: Any) -> bool:
    """Tell whether every audit names a round, and none is the first."""
    if "audit_round" not in column_names(audits):
        return False
    rounds = count_errors(audits, ["audit_round"])["audit_round"]
    is_first = rounds.isna() | (pd.to_numeric(rounds, errors="coerce") == 1)
    return bool(len(rounds)) and not bool(is_first.any())


def _format_stream(stream: str) -> str:
    """Write a stream as words: "seeded gold" for `seeded_gold`."""
    return stream.replace("_", " ")


def _format_streams(streams: Mapping[str, int]) -> str:
    """Join the named streams to one phrase."""
    return join_words([_format_stream(name) for name in streams if name])


def _format_predicate(streams: str) -> str:
    """Write the predicate for a phrase of streams, which is "" where none is named."""
    return f"are {streams}" if streams else "name no stream"
