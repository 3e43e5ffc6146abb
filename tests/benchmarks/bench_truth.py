"""How well truth and blame are told where several people judged the same items: a table of ours beside peers.

    make build/peers_truth
    PYTHONPATH=build/peers_truth python tests/benchmarks/bench_truth.py [--cases N] [--seed S] [--medical FOLDER]

Labels are drawn from raters with a confusion matrix each; the settings are such that the peers come out as published.
The peers, each left out where it is not installed (`peers_truth.lock`), are crowd-kit's `DawidSkene`,
`OneCoinDawidSkene` and `MACE` and the package krippendorff; beside them stand what is usual (the majority, the share of
raters against) and an oracle that knows how labels were drawn. Numbers are means over the cases.

- speed: a million labels of 2,000 raters in five classes; CPU seconds to the labels inferred, peers' over ours in
  brackets.
- few: 100,000 labels, 50 or 20 a rater; accuracy, and the mean chance stated of the label inferred less the share that
  is right.
- alpha: Krippendorff's, of a million ratings; memory is the peak above that of the ratings, in a process of its own
  (Linux); ours holds kappa, AC1 and all intervals too. The form `reliability_data` takes 5 GB.
- flips: 3 % of 10,000 truths are wrong; the share of these among the first 2 × 300, in the order of suspicion.
- causes: disputed items are a rater's error, an ambiguous policy (four pairs of labels are a toss of a coin on some
  items) or a wrong truth; the rule reads the first rater who differs from the truth by the share of the others who
  agree. Shares are those of the three causes; their error is the mean of the three.
- medical: `judgments.csv` of CrowdTruth's Medical-Relation-Extraction (Dumitrache, Aroyo, Welty 2018); an expert's
  label is wrong where `trusted`, a later look at it, is the other; average precision over the items with one.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, f1_score

from rca_lib.questions.agreement import measure_agreement
from rca_lib.questions.error_attribution import ERROR_SOURCES, attribute_errors
from rca_lib.questions.truth_inference import infer_truth
from rca_lib.questions.truth_review import review_truth

try:
    from crowdkit import aggregation
except ImportError:
    aggregation = None
try:
    import krippendorff
except ImportError:
    krippendorff = None

PEERS = {"Dawid–Skene": "DawidSkene", "one-coin": "OneCoinDawidSkene", "MACE": "MACE"}
Scores = Iterator[tuple[tuple[str, str], float]]  # what is measured, whose it is, and how much
FORMS = {"s": ".2f", "MB": ",.0f", "difference": ".0e", "accuracy": ".4f", "chance": "+.4f", "ambiguities": ".2f"}


@dataclass(frozen=True)
class Setting:
    """How labels are drawn.

    Accuracies of raters have this `mean` and, as a beta distribution, count as `firm` labels; log odds scatter by class
    by `scatter`. Errors fall off with the distance of the labels by `decay`; `own` is the rater's own part in them.
    """

    items: int
    per_item: int
    raters: int
    classes: int
    mean: float
    firm: float
    decay: float = 0.7
    own: float = 0.4
    scatter: float = 0.0
    prior: tuple[float, ...] = ()


@dataclass(frozen=True)
class Crowd:
    """Labels in codes (`item_id`, `rater`, `label`), each item's truth, and what they were drawn from."""

    labels: pd.DataFrame
    truth: np.ndarray
    confusion: np.ndarray
    prior: np.ndarray


MILLION = Setting(200_000, 5, 2_000, 5, 0.818, 8.0)
FEW = {
    "2,000 raters × 50": Setting(20_000, 5, 2_000, 5, 0.725, 3.0, prior=(0.40, 0.25, 0.17, 0.11, 0.07)),
    "5,000 raters × 20": Setting(20_000, 5, 5_000, 5, 0.75, 3.0, decay=1.5, own=0.2),
}
FLIPS = Setting(10_000, 5, 200, 5, 0.590, 3.5, scatter=0.4)
FLIPPED = 0.03
CAUSED = Setting(4_000, 2, 150, 4, 0.80, 6.0, decay=1.2)
POLICIES, CELLS, SPLIT, SLIP = 8, 4, 0.3, 0.045  # how many, ambiguous ones, their items' share, auditors' slips


def draw_crowd(draw: np.random.Generator, setting: Setting) -> Crowd:
    """Draw the labels of all items, each by distinct raters who have equally many."""
    prior = np.array(setting.prior or np.full(setting.classes, 1 / setting.classes))
    truth = draw.choice(setting.classes, setting.items, p=prior)
    confusion = _draw_confusion(draw, setting)
    labels = _assign(draw, setting)
    chances = confusion[labels["rater"], truth[labels["item_id"]]]
    return Crowd(labels.assign(label=_choose(draw, chances)), truth, confusion, prior)


def _draw_confusion(draw: np.random.Generator, setting: Setting) -> np.ndarray:
    """Return the raters' confusion matrices, raters × true × given."""
    raters, classes = setting.raters, setting.classes
    right = draw.beta(setting.mean * setting.firm, (1 - setting.mean) * setting.firm, raters).clip(None, 0.995)
    odds = (right / (1 - right))[:, None] * np.exp(setting.scatter * draw.standard_normal((raters, classes)))
    pooled = _near_errors(classes, setting.decay)
    own = draw.gamma(1.0, size=(raters, classes, classes)) * (pooled > 0)
    wrong = (1 - setting.own) * pooled + setting.own * own / own.sum(2, keepdims=True)
    return (wrong + odds[:, :, None] * np.eye(classes)) / (1 + odds)[:, :, None]


def _near_errors(classes: int, decay: float) -> np.ndarray:
    """Return the share of each label in the errors of each class."""
    distance = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes)))
    near = np.exp(-decay * distance) * (distance > 0)
    return near / near.sum(1, keepdims=True)


def _assign(draw: np.random.Generator, setting: Setting) -> pd.DataFrame:
    items, per_item = setting.items, setting.per_item
    raters = draw.permutation(np.resize(np.arange(setting.raters), items * per_item)).reshape(items, per_item)
    while len(twice := np.flatnonzero((np.diff(np.sort(raters, 1), axis=1) == 0).any(1))):
        # Deal anew among the items that have a rater twice and some that have not, so that counts stay equal.
        rows = np.union1d(twice, draw.integers(0, items, max(20, 3 * len(twice))))
        raters[rows] = draw.permutation(raters[rows].ravel()).reshape(len(rows), per_item)
    return pd.DataFrame({"item_id": np.repeat(np.arange(items), per_item), "rater": raters.ravel()})


def _choose(draw: np.random.Generator, chances: np.ndarray) -> np.ndarray:
    return (draw.random(len(chances))[:, None] > chances.cumsum(1)[:, :-1]).sum(1)


def fit_peer(name: str, labels: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """Return the label that a model of crowd-kit infers of each item, and the chances of all labels."""
    model = getattr(aggregation, PEERS[name])()
    found = model.fit_predict(labels.rename(columns={"item_id": "task", "rater": "worker"}))
    return found, model.probas_


def installed(*names: str) -> tuple[str, ...]:
    """Return those of the peers that can run."""
    return names if aggregation else ()


def score_speed(seed: int, peers: tuple[str, ...] = ("Dawid–Skene", "one-coin")) -> Scores:
    """Infer a million labels' truth, with names as integers and as strings."""
    crowd = draw_crowd(np.random.default_rng([seed, 1]), MILLION)
    for kind in ("integer", "string"):
        labels, truth = (crowd.labels, crowd.truth) if kind == "integer" else _name(crowd)
        begin = time.process_time()
        found = infer_truth(labels).to_frame()
        yield (f"{kind} ids, CPU s", "ours"), time.process_time() - begin
        yield (f"{kind} ids, accuracy", "ours"), _share_right(found.set_index("item_id")["label"], truth)
        for name in installed(*peers):
            begin = time.process_time()
            inferred, _ = fit_peer(name, labels)
            yield (f"{kind} ids, CPU s", name), time.process_time() - begin
            yield (f"{kind} ids, accuracy", name), _share_right(inferred, truth)


def _name(crowd: Crowd) -> tuple[pd.DataFrame, pd.Series]:
    """Return labels and truth with strings for codes."""
    names = {name: np.array([f"{name} {code:06d}" for code in range(MILLION.items)], object) for name in crowd.labels}
    labels = pd.DataFrame({name: pd.Series(names[name][codes], dtype=str) for name, codes in crowd.labels.items()})
    return labels, pd.Series(names["label"][crowd.truth], names["item_id"])


def _share_right(found: pd.Series, truth: np.ndarray | pd.Series) -> float:
    truth = pd.Series(truth)
    return float((found.reindex(truth.index).to_numpy() == truth.to_numpy()).mean())


def score_few(seed: int) -> Scores:
    """Infer the truth where raters gave few labels each, and hold the chances stated against what is right."""
    for place, (about, setting) in enumerate(FEW.items()):
        crowd = draw_crowd(np.random.default_rng([seed, 2, place]), setting)
        ours = infer_truth(crowd.labels).to_frame().set_index("item_id")
        answers = {"ours": (ours["label"], ours["probability"])}
        for name in installed(*PEERS):
            inferred, chances = fit_peer(name, crowd.labels)
            answers[name] = inferred, chances.max(axis=1)
        for name, (label, stated) in answers.items():
            right = _share_right(label, crowd.truth)
            yield (f"{about}, accuracy", name), right
            yield (f"{about}, stated chance", name), float(stated.mean()) - right
        votes = pd.crosstab(crowd.labels["item_id"], crowd.labels["label"]).to_numpy()
        most = votes == votes.max(1, keepdims=True)  # a tie is right as often as its labels' lot
        right = (most / most.sum(1, keepdims=True))[np.arange(len(votes)), crowd.truth].mean()
        yield (f"{about}, accuracy", "majority"), float(right)


def score_alpha(seed: int) -> Scores:
    """Measure a million ratings' alpha, each form in a process of its own."""
    ours = 0.0
    for name in ("ours", "value_counts", "reliability_data")[: 3 if krippendorff else 1]:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as worker:
            found = worker.submit(measure_alpha, name, seed).result()
        ours = found.alpha if name == "ours" else ours
        yield ("CPU s from the rows", name), found.table_seconds + found.seconds
        yield ("the call alone, CPU s", name), found.seconds
        yield ("peak MB", name), found.megabytes
        if name != "ours":
            yield ("difference from ours", name), abs(found.alpha - ours)


@dataclass(frozen=True)
class Measured:
    """Alpha, the CPU seconds to put the ratings in its table and to compute it, and the peak memory of both."""

    alpha: float
    table_seconds: float
    seconds: float
    megabytes: float


def measure_alpha(name: str, seed: int) -> Measured:
    """Measure alpha of a million ratings in one way."""
    rows = draw_crowd(np.random.default_rng([seed, 3]), MILLION).labels
    item, rater, label = (rows[column].to_numpy() for column in ("item_id", "rater", "label"))
    before, times = _reset_peak(), [time.process_time()]
    table = rows
    if name == "reliability_data":
        table = np.full((MILLION.raters, MILLION.items), np.nan)
        table[rater, item] = label
    elif name == "value_counts":
        size = MILLION.items * MILLION.classes
        table = np.bincount(item * MILLION.classes + label, minlength=size).reshape(MILLION.items, -1)
    times.append(time.process_time())
    if name == "ours":
        alpha = measure_agreement(table).krippendorff_alpha.value
    else:
        alpha = float(krippendorff.alpha(**{name: table}, level_of_measurement="nominal"))
    times.append(time.process_time())
    return Measured(alpha, *np.diff(times).tolist(), _read_memory("VmHWM") - before)


def _reset_peak() -> float:
    """Forget the process's peak of memory so far and return what it holds now."""
    if (place := Path("/proc/self/clear_refs")).exists():
        place.write_text("5")
    return _read_memory("VmRSS")


def _read_memory(name: str) -> float:
    status = Path("/proc/self/status")
    found = re.search(rf"{name}:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) / 1000 if found else np.nan


def score_flips(seed: int) -> Scores:
    """Rank truths of which some were exchanged for another label."""
    for place, (about, least, most) in enumerate((("3 to 5 raters", 3, 5), ("2 raters", 2, 2))):
        draw = np.random.default_rng([seed, 4, place])
        crowd = draw_crowd(draw, replace(FLIPS, per_item=most))
        kept = draw.integers(least, most + 1, FLIPS.items)
        labels = crowd.labels[np.tile(np.arange(most), FLIPS.items) < kept[crowd.labels["item_id"]]]
        flipped = np.zeros(FLIPS.items, bool)
        flipped[draw.choice(FLIPS.items, round(FLIPPED * FLIPS.items), replace=False)] = True
        other = (crowd.truth + draw.integers(1, FLIPS.classes, FLIPS.items)) % FLIPS.classes
        given = np.where(flipped, other, crowd.truth)
        crowd = replace(crowd, labels=labels.reset_index(drop=True))
        for name, suspicion in _suspect(crowd, given).items():
            yield (f"{about}, found", name), _recall(suspicion, flipped)


def _suspect(crowd: Crowd, given: np.ndarray) -> dict[str, np.ndarray]:
    """Return how suspicious each truth given is, to each who judges that."""
    labels, items = crowd.labels, np.arange(len(given))
    review = review_truth(labels, pd.DataFrame({"item_id": items, "truth": given})).to_frame().set_index("item_id")
    found = {"ours": review["probability"].reindex(items).to_numpy()}
    against = labels["label"].to_numpy() != given[labels["item_id"]]
    found["majority share"] = pd.Series(against).groupby(labels["item_id"].to_numpy()).mean().to_numpy()
    for name in installed("Dawid–Skene", "one-coin"):
        chances = fit_peer(name, labels)[1].reindex(index=items, columns=range(len(crowd.prior)), fill_value=0.0)
        found[name] = 1 - chances.to_numpy()[items, given]
    slips = FLIPPED / (len(crowd.prior) - 1)
    auditor = np.where(np.eye(len(crowd.prior)) > 0, 1 - FLIPPED, slips)
    likely = crowd.prior * _likelihood(labels, crowd.confusion, len(given)) * auditor[:, given].T
    found["oracle"] = 1 - likely[items, given] / likely.sum(1)
    return found


def _likelihood(labels: pd.DataFrame, confusion: np.ndarray, items: int) -> np.ndarray:
    """Return how likely each item's labels are by its true one."""
    logs = np.zeros((items, confusion.shape[1]))
    np.add.at(logs, labels["item_id"], np.log(confusion + 1e-12)[labels["rater"], :, labels["label"]])
    return np.exp(logs)


def _recall(suspicion: np.ndarray, wrong: np.ndarray) -> float:
    """Return the share of the wrong among the first twice as many; of a tie at the end, what is to be expected."""
    first = 2 * int(wrong.sum())
    last = np.sort(suspicion)[-first]
    sure, tie = suspicion > last, suspicion == last
    return float((wrong[sure].sum() + wrong[tie].mean() * (first - sure.sum())) / wrong.sum())


@dataclass(frozen=True)
class Dispute:
    """Labels and truths given, by policy, and why they differ; `cells` are the policies' ambiguous pairs of labels."""

    crowd: Crowd
    policy: np.ndarray
    given: np.ndarray
    cause: np.ndarray
    cells: tuple[tuple[int, int, int], ...]

    @property
    def matrix(self) -> np.ndarray:
        return self.crowd.labels["label"].to_numpy().reshape(len(self.given), -1)

    @property
    def disputed(self) -> np.ndarray:
        return (self.matrix != self.given[:, None]).any(1)


def draw_dispute(draw: np.random.Generator, per_item: int) -> Dispute:
    """Draw items of which some are a toss of a coin, of others the truth given is wrong."""
    items, classes = CAUSED.items, CAUSED.classes
    policy, prior = draw.integers(0, POLICIES, items), draw.dirichlet(np.full(classes, 4.0), POLICIES)
    truth, confusion = _choose(draw, prior[policy]), _draw_confusion(draw, CAUSED)
    labels = _assign(draw, replace(CAUSED, per_item=per_item))
    given = np.where(
        slip := draw.random(items) < SLIP, _choose(draw, _near_errors(classes, CAUSED.decay)[truth]), truth
    )
    label = _choose(draw, confusion[labels["rater"], truth[labels["item_id"]]]).reshape(items, per_item)
    cause, cells = np.where(slip, ERROR_SOURCES[2], ERROR_SOURCES[0]).astype(object), []
    for unclear in draw.choice(POLICIES, CELLS, replace=False):
        pair = draw.choice(classes, 2, replace=False)
        split = (policy == unclear) & np.isin(truth, pair) & (draw.random(items) < SPLIT)
        cause[split], given[split] = ERROR_SOURCES[1], draw.choice(pair, split.sum())
        label[split] = draw.choice(pair, (split.sum(), per_item))
        cells.append((int(unclear), *sorted(pair.tolist())))
    crowd = Crowd(labels.assign(label=label.ravel()), truth, confusion, prior)
    return Dispute(crowd, policy, given, cause, tuple(cells))


def score_causes(seed: int) -> Scores:
    """Tell what disputed items are."""
    for raters in (2, 3):
        case = draw_dispute(np.random.default_rng([seed, 5, raters]), raters)
        items, here = np.arange(len(case.given)), case.disputed
        truth = pd.DataFrame({"item_id": items, "truth": case.given, "policy": case.policy.astype(str)})
        ours = attribute_errors(case.crowd.labels, truth)
        verdicts = ours.to_frame().set_index("item_id")["cause"].reindex(items[here]).to_numpy(object)
        rule, chances = _rule(case)[here], _oracle(case)[here]
        best = np.array(ERROR_SOURCES, object)[chances.argmax(1)]
        shares = {"ours": [float(share.value) for _, share in ours.shares], "oracle": chances.mean(0)}
        shares["rule"] = [(rule == cause).mean() for cause in ERROR_SOURCES]
        true = [(case.cause[here] == cause).mean() for cause in ERROR_SOURCES]
        for (cause, share), one in zip(ours.shares, true, strict=True):
            yield (f"{raters} raters, {cause}: coverage at .95", "ours"), float(share.low <= one <= share.high)
            yield (f"{raters} raters, {cause}: width", "ours"), float(share.high - share.low)
        for name, told in (("ours", verdicts), ("rule", rule), ("oracle", best)):
            score = f1_score(case.cause[here].tolist(), told.tolist(), labels=ERROR_SOURCES, average="macro")
            yield (f"{raters} raters, macro-F1", name), float(score)
            yield (f"{raters} raters, error of shares", name), float(np.abs(np.subtract(shares[name], true)).mean())
        cells = {
            (int(pair.policy), *sorted((int(pair.first_label), int(pair.second_label)))) for pair in ours.ambiguities
        }
        yield (f"{raters} raters, ambiguities told of {CELLS} planted", "ours"), len(cells & {*case.cells})
        yield (f"{raters} raters, ambiguities told but not planted", "ours"), len(cells - {*case.cells})


def _rule(case: Dispute) -> np.ndarray:
    """Read the first label that differs by how many of the other raters agree with it, and with the truth."""
    labels, given = case.matrix, case.given[:, None]
    own = np.take_along_axis(labels, (labels != given).argmax(1)[:, None], 1)
    others = labels.shape[1] - 1
    against, beside = ((labels == own).sum(1) - 1) / others, (labels == given).sum(1) / others
    return np.select([against > 0.5, beside > 0.5], [ERROR_SOURCES[2], ERROR_SOURCES[0]], ERROR_SOURCES[1]).astype(
        object
    )


def _oracle(case: Dispute) -> np.ndarray:
    """Return the chances of the three causes to one who knows how everything was drawn."""
    items, labels = np.arange(len(case.given)), case.matrix
    likely = _likelihood(case.crowd.labels, case.crowd.confusion, len(items)) * case.crowd.prior[case.policy]
    split = np.zeros(len(items))
    for policy, *pair in case.cells:
        inside = case.policy == policy
        likely[np.ix_(inside, pair)] *= 1 - SPLIT
        tossed = inside & np.isin(labels, pair).all(1) & np.isin(case.given, pair)
        split[tossed] = case.crowd.prior[policy, pair].sum() * SPLIT * 0.5 ** (labels.shape[1] + 1)
    slipped = (likely * _near_errors(CAUSED.classes, CAUSED.decay)[:, case.given].T).sum(1) * SLIP
    three = np.column_stack([likely[items, case.given] * (1 - SLIP), split, slipped])
    return three / three.sum(1, keepdims=True)


def score_medical(folder: str) -> Scores:
    """Rank an expert's labels of sentences, for each relation, and compare with a later look at them."""
    table = pd.read_csv(Path(folder) / "judgments.csv").rename(
        columns={"sent_id": "item_id", "_worker_id": "rater", "judgment": "label", "expert": "truth"}
    )
    for relation, rows in table.groupby("relation"):
        rows = rows.drop_duplicates(["item_id", "rater"])
        items = rows.groupby("item_id")[["truth", "trusted"]].first()
        labels = rows[["item_id", "rater", "label"]]
        review = review_truth(labels, items.reset_index()[["item_id", "truth"]]).to_frame()
        found = {"ours": review.set_index("item_id")["probability"]}
        found["majority share"] = (rows["label"] != rows["truth"]).groupby(rows["item_id"]).mean()
        for name in installed("Dawid–Skene", "one-coin"):
            chances = fit_peer(name, labels)[1].reindex(items.index)
            found[name] = 1 - chances["yes"].where(items["truth"] == "yes", chances["no"])
        looked = items[items["trusted"].isin(["yes", "no"])]
        wrong = looked["trusted"] != looked["truth"]
        about = f"{relation}, average precision ({wrong.sum()} of {len(wrong)} wrong)"
        for name, suspicion in found.items():
            yield (about, name), float(average_precision_score(wrong, suspicion.reindex(looked.index)))


SCORES = {
    "speed": score_speed,
    "few": score_few,
    "alpha": score_alpha,
    "flips": score_flips,
    "causes": score_causes,
}


def report(task: str, cases: list[dict[tuple[str, str], float]]) -> None:
    """Print a line for each thing measured: the means over the cases."""
    means = pd.DataFrame(cases).mean()
    measures = dict.fromkeys(measure for measure, _ in means.index)
    for measure in measures:
        values = {name: value for (one, name), value in means.items() if one == measure}
        ours = values.pop("ours", np.nan)
        cells = [f"{name} {_write(measure, value, ours)}" for name, value in values.items()]
        print(f"| {task}: {measure} | {_write(measure, ours)} | {' · '.join(cells) or '–'} |", flush=True)  # noqa: T201


def _write(measure: str, value: float, ours: float | None = None) -> str:
    form = next((form for word, form in FORMS.items() if word in measure.split()), ".3f")
    text = "–" if np.isnan(value) else f"{value:{form}}"
    return f"{text} ({value / ours:.1f} ×)" if "CPU" in measure and ours else text


def main() -> None:
    """Run the tasks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5, help="cases per task")
    parser.add_argument("--million-cases", type=int, default=2, help="at most so many of a million labels")
    parser.add_argument("--seed", type=int, default=100, help="first seed")
    parser.add_argument("--tasks", nargs="*", default=list(SCORES), choices=SCORES)
    parser.add_argument(
        "--slow", action="store_true", help="also run the peer that takes many minutes (MACE on a million labels)"
    )
    parser.add_argument("--medical", default="", help="a folder with judgments.csv")
    options = parser.parse_args()
    scores = SCORES | ({"speed": partial(score_speed, peers=(*PEERS,))} if options.slow else {})
    print("| task | ours | peers |\n|---|---|---|")  # noqa: T201
    for task in options.tasks:
        cases = min(options.cases, options.million_cases) if task in ("speed", "alpha") else options.cases
        seeds = range(options.seed, options.seed + cases)
        report(task, [dict(scores[task](seed)) for seed in seeds])
    if options.medical:
        report("medical", [dict(score_medical(options.medical))])


if __name__ == "__main__":
    main()
