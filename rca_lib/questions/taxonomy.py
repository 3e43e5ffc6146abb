"""What kind of error, and whose? Each gets a *what* (derived) and a *why* (from people, else rules, else a model)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.inter_rater import cohens_kappa

from rca_lib.audits.cause_codes import code_of
from rca_lib.audits.counting import fetch_errors, open_table
from rca_lib.audits.error_kinds import KINDS, derive_kinds, refuse_rows
from rca_lib.audits.learned_causes import READS, LearnedCauses, ask_model
from rca_lib.audits.tables import AUDITS, SEVERITY_WEIGHTS, columns, parse_scope
from rca_lib.audits.taxonomy_file import NO_EVENTS, Cause, Rule, Taxonomy, ask_rules
from rca_lib.findings import HALF_DIGIT, Estimate, Finding, Grade, Rate, count_noun, mark_units
from rca_lib.stats.rates import clustered_rate
from rca_lib.stats.texts import read_texts

WON = "upheld_rater"  # what `dispute` says where the rater was right and the truth wrong
FAIR_KAPPA = 0.4  # up to here agreement is at most fair (Landis and Koch 1977)


@dataclass(frozen=True, slots=True)
class Tag:
    """One error: what it is, the code of its cause, `by` whom and how sure that is.

    `by` is person, dispute (the rater's was upheld), rule:NAME, model or none. `measurement`: the cause is the truth's
    or the sample's, no rater's.
    """

    audit_id: str
    what: str
    why: str
    by: str
    confidence: float
    measurement: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the errors: its rows, its share of them, and its share when weighed by severity (None: no severity).

    Of a cause also its level-1 `bone`, who can mend it, in whose hands it is, and whether it is the measurement's.
    """

    code: str
    name: str
    errors: int
    share: Rate
    weighted_share: float | None
    bone: str = ""
    owner: str = ""
    controllable_by: str = ""
    measurement: bool = False


@dataclass(frozen=True, slots=True)
class Tagging:
    """The errors by kind, cause, owner and control: the largest share first, what is not determined last.

    Shares are of all errors, design-weighted, with intervals that allow for rater clusters. `measurement_errors` never
    count against a rater. `coded_by` counts who gave the causes; `not_available` names the rules that were not asked.
    `coder_kappa` is the agreement of two coders, `model_kappa` that of the model with people (None: too few codes).
    """

    errors: int
    what: tuple[Part, ...]
    why: tuple[Part, ...]
    by_owner: tuple[Part, ...]
    by_control: tuple[Part, ...]
    undetermined: int
    measurement_errors: int
    disputes_won: int
    measurement_share: Rate | None
    coder_kappa: Estimate | None
    model: LearnedCauses | None
    model_kappa: Estimate | None
    coded_by: tuple[tuple[str, int], ...]
    not_available: tuple[str, ...]
    tags: tuple[Tag, ...]

    @property
    def weighted(self) -> bool:
        """Whether shares read otherwise than counts do, because audits carry weights."""
        return any(abs(part.share.value - part.errors / self.errors) > HALF_DIGIT for part in self.why)

    @property
    def excused(self) -> tuple[str, ...]:
        """The `audit_id`s whose error is the measurement's."""
        return tuple(tag.audit_id for tag in self.tags if tag.measurement)

    def to_frame(self) -> pd.DataFrame:
        """Return the Pareto, a row per cause; `share` has its interval in `low`, `high` and adds up in `cumulative`."""
        ends = ("share", "low", "high")
        rows = [asdict(part) | dict(zip(ends, astuple(part.share)[2:5], strict=True)) for part in self.why]
        frame = pd.DataFrame(rows, columns=[*Part.__dataclass_fields__, "low", "high"])
        frame = frame.assign(cumulative=frame["share"].astype(float).cumsum())
        return mark_units(frame, **dict.fromkeys(("share", "low", "high", "weighted_share", "cumulative"), "%"))

    def summary(self) -> str:
        """Say which kind prevails, who gave causes, and which cause prevails."""
        if not self.errors:
            return "No errors: nothing to tag."
        by = dict(self.coded_by)
        people, learned, silent, settled = (by.get(name, 0) for name in ("person", "model", "none", "dispute"))
        hinted = self.errors - people - learned - silent - settled
        text = f"{count_noun(self.errors, 'error')}, most often {self.what[0].name}: {self.what[0].share}."
        text += f" Causes: {people:,} coded by people, {hinted:,} hinted at by rules, {learned:,} by a model,"
        text += f" {settled:,} settled by disputes," if settled else ""
        text += f" {silent:,} without a hint."
        if self.undetermined < self.errors:
            text += f" Most often {self.why[0].name}: {self.why[0].share}."
        if self.measurement_errors:
            text += (
                f" Counted against no rater: {count_noun(self.measurement_errors, 'error')} of the truth or the sample."
            )
        text += " Shares are weighted to all decisions, counts are not." * self.weighted
        text += f" Two coders agree at kappa {self.coder_kappa}." if self.coder_kappa else ""
        text += f" {str(self.model).capitalize()}" if self.model else ""
        return text + (f" (kappa {self.model_kappa})." if self.model_kappa else "." * (self.model is not None))

    def findings(self) -> tuple[Finding, ...]:
        """Return the leading kind, cause and owner, and the errors of measurement.

        A kind is "shown" to lead where its interval lies above the next one's, or above half if it is the only one.
        Causes are judgements: "likely" where people gave most of them and two coders, if there were two, agree more
        than fairly; else "possible".
        """
        if not self.errors:
            return ()
        by, kappa = dict(self.coded_by), self.coder_kappa
        coded = 2 * by.get("person", 0) > self.errors - by.get("none", 0)
        judged: Grade = "likely" if coded and (kappa is None or float(kappa.value) > FAIR_KAPPA) else "possible"
        leads = self.what[0].share.low > (self.what[1].share.high if len(self.what) > 1 else 0.5)
        found = [_lead("what", self.what, "Most frequent kind", "shown" if leads else "possible")]
        if self.undetermined < self.errors:
            found.append(_lead("why", self.why, "Most frequent cause given", judged))
            found.append(_lead("by_owner", self.by_owner, "Most causes given stand with", judged))
        if self.measurement_share and self.measurement_errors:
            doubt = f"{self.measurement_share} of the errors point at the truth or the sample, not at a rater."
            found.append(Finding("taxonomy", "measurement", doubt, judged, self.measurement_share, "measurement_share"))
        return tuple(found)


def tag_errors(
    audits: Any,
    taxonomy: Taxonomy,
    *,
    events: pd.DataFrame = NO_EVENTS,
    benign: Sequence[str] = ("benign",),
    scale: Sequence[str] = (),
    coded: Any = None,
    confidence: float | None = 0.6,
    seed: int = 0,
) -> Tagging:
    """Tag every error with its kind and, where people or rules give one, its cause.

    A dispute that was decided for the rater (`dispute` is upheld_rater) settles that the truth was wrong. Else people's
    codes (`cause_code`, else `cause2_code`) win, with confidence 1, or 0.5 where the two differ; then the rules speak
    in their order, with their own confidence; then a model learned from the errors that people coded, where it is sure
    enough; the rest is not determined.

    Parameters
    ----------
    audits
        One row per audited decision, of one stream or kept proportional before; only its errors are fetched.
    events
        One row per event as `read_events` gives them; a scope on a column that the audits lack matches nothing.
    benign, scale
        The labels that mean that nothing was violated; the labels in their order where errors are told by distance.
    coded
        Further audits to learn from (a row each), such as those of earlier months.
    confidence
        The chance of being right below which the model abstains; None asks no model.
    seed
        Of what the model draws.

    Raises
    ------
    DataError
        A column is missing, a person's code is not in the taxonomy, a label is not on the scale.

    Notes
    -----
    It cannot see more than the columns hold: a rule's match is a hint, never proof, a pattern does not understand "not
    a misclick", and an error without a hint is not thereby the rater's. Kinds are as right as the truth is.

    Examples
    --------
    >>> from rca_lib.audits.taxonomy_file import read_taxonomy
    >>> audits = pd.DataFrame({"audit_id": ["1"], "label": ["spam"], "truth": ["benign"], "comment": ["a misclick"]})
    >>> [(tag.what, tag.why, tag.by) for tag in tag_errors(audits, read_taxonomy()).tags]
    [('over_enforcement', 'PPL.SLIP', 'rule:comment tells of a slip')]
    """
    open_table(audits, needs=("audit_id", "label", "truth"))
    rows = _fetch_rows(audits, events)
    what = derive_kinds(rows, benign, scale)
    codes = [_read_codes(rows, name, taxonomy) for name in ("cause_code", "cause2_code")]
    gaps = {name: _find_gap(rule, rows, events) for name, rule in taxonomy.rules.items()}
    hints = ask_rules({name: rule for name, rule in taxonomy.rules.items() if not gaps[name]}, rows, events)
    learned, model = _learn(rows, codes, hints, taxonomy, coded, confidence, seed)
    won = (read_texts(rows, "dispute") == WON).tolist()
    tags = tuple(map(partial(_tag, taxonomy), rows["audit_id"].astype(str), what, *codes, hints, learned, won))
    given = [taxonomy.causes[tag.why] if tag.why != taxonomy.unknown else None for tag in tags]
    measured = np.array([tag.measurement for tag in tags], bool)
    return Tagging(
        errors=len(rows),
        what=_divide(rows, what, KINDS),
        why=_divide(rows, [tag.why for tag in tags], taxonomy.causes, taxonomy.unknown),
        by_owner=_divide(rows, [cause.owner if cause else "" for cause in given]),
        by_control=_divide(rows, [cause.controllable_by if cause else "" for cause in given]),
        undetermined=given.count(None),
        measurement_errors=int(measured.sum()),
        disputes_won=sum(won),
        measurement_share=_share(rows, measured) if len(rows) else None,
        coder_kappa=_agree(*codes),
        model=model,
        model_kappa=model and _agree(np.array(model.chosen, object), np.array(model.given, object)),
        coded_by=tuple(sorted(Counter(tag.by for tag in tags).items())),
        not_available=tuple(f"{name}: {gap}" for name, gap in gaps.items() if gap),
        tags=tags,
    )


def _fetch_rows(audits: Any, events: pd.DataFrame) -> pd.DataFrame:
    """Fetch the errors in the order of their audits, with all columns that rules and scopes of events may read."""
    scoped = {name for scope in events["scope"] for name in parse_scope(scope)}
    rows = fetch_errors(audits, sorted({*columns(AUDITS), *scoped}))
    return rows.sort_values("audit_id", ignore_index=True, kind="stable")


def _lead(path: str, parts: Sequence[Part], words: str, grade: Grade) -> Finding:
    sentence = f"{words}: {parts[0].name}, {parts[0].share} of the errors."
    return Finding("taxonomy", path.removeprefix("by_"), sentence, grade, parts[0].share, f"{path}[0].share")


def _read_codes(rows: pd.DataFrame, name: str, taxonomy: Taxonomy) -> np.ndarray:
    codes = read_texts(rows, name).str.strip()
    wrong = (codes != "") & ~codes.isin(list(taxonomy.causes))
    refuse_rows(rows, name, wrong, "a cause code is not in the taxonomy", "add it to the taxonomy")
    # Who codes only the unknown bone says no more than the unknown code.
    return codes.replace(taxonomy.causes[taxonomy.unknown].bone, taxonomy.unknown).to_numpy(object)


def _find_gap(rule: Rule, rows: pd.DataFrame, events: pd.DataFrame) -> str:
    missing = [name for name in rule.columns() if name not in rows]
    return f"no column {missing[0]}" if missing else "no events were given" if rule.event and events.empty else ""


def _learn(
    rows: pd.DataFrame,
    codes: Sequence[np.ndarray],
    hints: Sequence[str],
    taxonomy: Taxonomy,
    coded: Any,
    confidence: float | None,
    seed: int,
) -> tuple[list[tuple[str, float]], LearnedCauses | None]:
    """Ask a model about the errors that neither people nor rules gave a cause; earlier coded errors teach it too."""
    if confidence is None:
        return [("", 0.0)] * len(rows), None
    names = ("audit_id", "decided_at", "comment", *READS)
    given = np.where(codes[0] != "", codes[0], codes[1])
    own = pd.DataFrame({name: read_texts(rows, name) for name in names}).assign(
        code=given, asked=[hint == "" for hint in hints]
    )
    earlier = own.iloc[:0]
    if coded is not None:
        past = fetch_errors(coded, (*names, "cause_code", "cause2_code"))
        first, second = (_read_codes(past, name, taxonomy) for name in ("cause_code", "cause2_code"))
        earlier = pd.DataFrame({name: read_texts(past, name) for name in names})
        earlier = earlier.assign(code=np.where(first != "", first, second), asked=False)
        earlier = earlier[(earlier["code"] != "") & ~earlier["audit_id"].isin(own["audit_id"])]
        earlier = earlier.sort_values(["decided_at", "audit_id"], kind="stable")
    every = pd.concat([earlier, own], ignore_index=True)
    every["code"] = every["code"].astype("str").replace(taxonomy.unknown, "")
    asked = every["asked"].to_numpy(bool) & (every["code"] == "").to_numpy(bool)
    answers, model = ask_model(every, every["code"].tolist(), asked.tolist(), confidence=confidence, seed=seed)
    return answers[len(earlier) :], model


def _tag(
    taxonomy: Taxonomy,
    audit_id: str,
    what: str,
    first: str,
    second: str,
    rule: str,
    learned: tuple[str, float],
    won: bool,
) -> Tag:
    given = [(first or second, "person", 0.5 if first and second and first != second else 1.0)]
    given += [(taxonomy.rules[rule].cause, f"rule:{rule}", taxonomy.rules[rule].confidence)] if rule else []
    given += [(learned[0], "model", learned[1])]
    given = [one for one in given if one[0]]
    if won:  # whoever says otherwise did not know how the dispute ended
        given = [one for one in given if taxonomy.causes[one[0]].measurement and one[1] != "model"]
        given.append((code_of(taxonomy, "dispute"), "dispute", 1.0))
    why, by, sure = next(iter(given), (taxonomy.unknown, "none", 0.0))
    return Tag(audit_id, what, why, by, sure, won or taxonomy.causes[why].measurement)


def _divide(
    rows: pd.DataFrame, codes: Sequence[str], names: Mapping[str, str | Cause] = MappingProxyType({}), last: str = ""
) -> tuple[Part, ...]:
    """Divide the errors by their codes: the largest part first, `last` last."""
    codes, parts = np.array(codes, object), []
    harm = (read_texts(rows, "severity").map(SEVERITY_WEIGHTS).astype(float) * rows["weight"]).fillna(0.0).to_numpy()
    for code in sorted(set(codes)):
        mask, known = codes == code, names.get(code, code or "not determined")
        about = asdict(known) if isinstance(known, Cause) else {"code": code, "name": known}
        weighted = float(harm[mask].sum() / harm.sum()) if harm.sum() > 0 else None
        parts.append(Part(errors=int(mask.sum()), share=_share(rows, mask), weighted_share=weighted, **about))
    return tuple(sorted(parts, key=lambda part: (part.code == last, -part.share.value)))


def _share(rows: pd.DataFrame, event: np.ndarray) -> Rate:
    weight = rows["weight"].to_numpy(float)
    raters = pd.factorize(rows["rater"], use_na_sentinel=False)[0] if "rater" in rows else None
    return clustered_rate(event, np.ones(len(rows)), weight, weight**2, raters).rate


def _agree(first: np.ndarray, second: np.ndarray) -> Estimate | None:
    """Return Cohen's kappa (1960) of two coders; None where one of them gave but a single code."""
    both = (first != "") & (second != "")
    codes = sorted({*first[both], *second[both]})
    if min(len(set(first[both])), len(set(second[both]))) < 2:
        return None
    table = pd.crosstab(first[both], second[both]).reindex(index=codes, columns=codes, fill_value=0)
    kappa = cohens_kappa(table.to_numpy())
    ends = (max(float(kappa.kappa_low), -1.0), min(float(kappa.kappa_upp), 1.0)) if kappa.std_kappa > 0 else ()
    return Estimate(float(kappa.kappa), *ends)
