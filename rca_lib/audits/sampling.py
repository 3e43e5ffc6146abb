"""What do the audits stand for? The streams that the rates come from, and whether two periods can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from rca_lib.audits.counting import column_names, count_errors, keep_first_round, pick_streams
from rca_lib.audits.tables import PROPORTIONAL_STREAMS
from rca_lib.findings import Estimate, Finding, count_noun, join_words

Basis = Literal["proportional", "other", "unknown"]


@dataclass(frozen=True, slots=True)
class StreamCount:
    """First-round audits of one stream ("" where none is named), before and now; `used` where rates count them."""

    stream: str
    before: int
    now: int
    used: bool


@dataclass(frozen=True, slots=True)
class Sampling:
    """What the rates of a period and of its baseline stand for.

    `basis` is "proportional" where there are random or stratified audits, which stand for all decisions; "other" where
    every stream that is named is another; "unknown" where no audit names its stream. `basis_before` is the baseline's,
    None where nothing came before. `used` and `used_before` are the audits that rates count, by stream. `left_out`
    audits are of other streams; `unnamed` audits name no stream while others do, and are left out too. `unweighted`:
    stratified audits without weights in one of the periods. `second_rounds`: the period has audits of audits only.
    `named`: there is a column that names streams.
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
    second_rounds: bool
    named: bool

    @property
    def audits(self) -> int:
        """How many audits the rates of the period count."""
        return sum(self.used.values())

    @property
    def comparable(self) -> bool:
        """Whether both periods stand for all decisions, or nothing is known of either; True without a baseline."""
        return self.basis_before is None or self.basis == self.basis_before != "other"

    @property
    def alike(self) -> bool:
        """Whether the audits of both periods are at least of the same streams, so that a change can be described."""
        return self.comparable or (self.basis == self.basis_before and set(self.used) == set(self.used_before))

    @property
    def difference(self) -> str:
        """How the audits of the two periods differ, in words; "" where they are comparable."""
        if self.comparable:
            return ""
        now, then = _name(self.used), _name(self.used_before)
        if self.alike:
            return f"neither period has a random or stratified audit, only {now} ones"
        return f"the audits of this period {_verb(now)}, those before {_verb(then)}"

    @property
    def words(self) -> str:
        """The audits that rates count, in words.

        Examples
        --------
        >>> describe_sampling(pd.DataFrame({"stream": ["targeted"] * 3, "error": 0})).words
        '3 targeted audits'
        """
        named = ", ".join(map(_spell, self.used))
        return count_noun(self.audits, f"{named} audit" if named else "audit")

    def to_frame(self) -> pd.DataFrame:
        """Return a row per stream: first-round audits `before` and `now`, and whether the rates count them."""
        rows = [(_spell(one.stream) or "(not named)", one.before, one.now, one.used) for one in self.streams]
        return pd.DataFrame(rows, columns=["stream", "before", "now", "used"])

    def summary(self) -> str:
        """Say what the rates come from, what is left out, and whether the periods compare."""
        return " ".join(finding.sentence for finding in self.findings())

    def findings(self) -> tuple[Finding, ...]:
        """Return "not comparable" first where it is so, what the rates stand for, and what is left out."""
        told = {
            "not comparable": f"Not comparable: {self.difference}." * (not self.comparable),
            "basis": self._tell_basis(),
            "unnamed": self._tell_unnamed(),
            "unweighted": "Stratified audits carry no weights: a change of the strata cannot be told from worse work."
            * self.unweighted,
            "second rounds": "The period has no first audits: the rates come from audits of audits."
            * self.second_rounds,
        }
        return tuple(
            Finding("sampling", kind, sentence, "shown", Estimate(float(getattr(self, path)), unit="audits"), path)
            for kind, sentence in told.items()
            for path in ("unnamed" if kind == "unnamed" and self.unnamed else "audits",)
            if sentence
        )

    def _tell_basis(self) -> str:
        if self.basis == "unknown":
            return "It is not known how the audits were sampled: none names its stream."
        if self.basis == "other":
            return f"The rates come from {self.words}, which do not stand for all decisions."
        rest = f"; {count_noun(self.left_out, 'audit')} of other streams are left out" if self.left_out else ""
        return f"The rates come from {self.words}{rest}."

    def _tell_unnamed(self) -> str:
        if not self.unnamed and not self.unnamed_before:
            return ""
        every = self.audits + self.left_out + self.unnamed
        before = f" ({self.unnamed_before:,} before)" if self.basis_before else ""
        return (
            f"{self.unnamed:,} of {count_noun(every, 'audit')}{before} name no stream and are left out: it is not known"
            " whether they stand for all decisions."
        )


def describe_sampling(current: Any, baseline: Any = None) -> Sampling:
    """Describe which streams the rates of a period come from, and whether those of the baseline are comparable.

    Parameters
    ----------
    current, baseline
        One row per audit, every stream and round: `error`, or `label` and `truth`; `stream`, `audit_round` and `weight`
        where they exist. `baseline` is None where nothing came before.

    Returns
    -------
    Sampling
        Periods are comparable where both have random or stratified audits, or where no audit of either names its
        stream. Where others name theirs, audits without one are left out.

    Notes
    -----
    It cannot see whether a sample that is called random was drawn at random, nor a change within a stream, such as
    other rules of targeting.

    Examples
    --------
    >>> audits = pd.DataFrame({"stream": ["random"] * 3, "error": 0})
    >>> describe_sampling(audits.assign(stream="targeted"), audits).comparable
    False
    """
    tables = [_count(current), _count(current).iloc[:0] if baseline is None else _count(baseline)]
    used = [{name: int(table["items"][name]) for name in pick_streams(table.index)} for table in tables]
    now, then = (table["items"].to_dict() for table in tables)
    bases = [_judge_basis(table.index) for table in tables]
    unnamed = [
        0 if basis == "unknown" else int(part.get("", 0)) for basis, part in zip(bases, (now, then), strict=True)
    ]
    return Sampling(
        streams=tuple(
            StreamCount(name, int(then.get(name, 0)), int(now.get(name, 0)), name in used[0])
            for name in sorted({*now, *then})
        ),
        basis=bases[0],
        basis_before=None if baseline is None else bases[1],
        used=used[0],
        used_before=used[1],
        left_out=sum(now.values()) - sum(used[0].values()) - unnamed[0],
        unnamed=unnamed[0],
        unnamed_before=unnamed[1],
        unweighted=any(map(_lacks_weights, tables)),
        second_rounds=_has_second_rounds_only(current),
        named="stream" in column_names(current),
    )


def _count(audits: Any) -> pd.DataFrame:
    """Count first-round audits by stream, "" where none is named."""
    first = keep_first_round(audits)
    counts = count_errors(first, ["stream"] if "stream" in column_names(first) else [])
    counts = counts if "stream" in counts else counts.assign(stream="")
    names = ["" if pd.isna(name) else str(name) for name in counts["stream"]]
    return counts.assign(stream=names).groupby("stream", sort=True).sum()


def _judge_basis(streams: pd.Index) -> Basis:
    if not any(streams):
        return "unknown"
    return "proportional" if set(streams) & set(PROPORTIONAL_STREAMS) else "other"


def _lacks_weights(counts: pd.DataFrame) -> bool:
    """Tell whether stratified audits all count once, as they do without weights."""
    rows = counts[counts.index == "stratified"]
    same = rows[["weight", "squared_weight"]].eq(rows["items"], axis=0)
    return len(rows) > 0 and bool(same.to_numpy().all())


def _has_second_rounds_only(audits: Any) -> bool:
    if "audit_round" not in column_names(audits):
        return False
    rounds = count_errors(audits, ["audit_round"])["audit_round"]
    return bool(len(rounds)) and not bool((rounds.isna() | (pd.to_numeric(rounds, errors="coerce") == 1)).any())


def _spell(stream: str) -> str:
    return stream.replace("_", " ")


def _name(streams: Mapping[str, int]) -> str:
    return join_words([_spell(name) for name in streams if name])


def _verb(names: str) -> str:
    return f"are {names}" if names else "name no stream"
