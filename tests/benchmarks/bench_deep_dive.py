"""Does the deep dive name what was planted, and keep quiet where nothing was?

    python tests/benchmarks/bench_deep_dive.py [--seeds N] [--first SEED]

Plants each kind of cause alone in the third month of a synthetic site and asks every question of that month, as the
report does. "named" is the share of reports whose first cause is the planted one, "headline" the share whose verdict is
the right one; for "nothing", the share of reports whose headline is quiet, against the promised 1 - alpha. After a
change of the sampling alone "steady" is right too: the weighted rate did not move.
"""

from __future__ import annotations

import argparse
import time
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rca_lib.intake.ingest import ingest
from rca_lib.reporting.deep_dive import run_deep_dive
from rca_lib.reporting.headline import build_headline
from rca_lib.simulation.scenario import CAUSE_KINDS, PlantedCause
from rca_lib.simulation.synthetic_audits import simulate_audits, write_simulation
from rca_lib.store.cases import open_case

CODES = {
    "policy_update": ("TRN.UPD", "worse"),
    "hiring_class": ("TRN.ONB", "worse"),
    "tool_release": ("TOL.BUG", "worse"),
    "one_rater": ("PPL.KNOW", "worse"),
    "drift": ("UNK.UNK", "worse"),
    "mix_shift": ("ENV.MIX", "mix"),
    "truth_change": ("MEA.GT_STALE", "artefact"),
    "sampling_change": ("MEA.SAMPLE", "artefact"),
    "nothing": ("", "steady"),
}
ALSO_RIGHT = {"nothing": ("not proven",), "sampling_change": ("steady",)}  # weighted rates leave a new sample out
SIZES = {"one_rater": 15.0}  # odds: a sixtieth of the audits shows less only where the rater errs in most of them


def ask(kind: str, seed: int) -> tuple[bool, bool, float]:
    """Return whether the planted cause is named first, whether the verdict is right, and the seconds of the answers."""
    whole_month = kind in ("mix_shift", "drift", "one_rater", "sampling_change")
    start = date(2026, 3, 1 if whole_month else 2 + seed % 12)
    causes = () if kind == "nothing" else (PlantedCause(kind, "here", start, size=SIZES.get(kind, np.nan)),)
    simulation = simulate_audits(sites=("here",), causes=causes, seed=seed)
    with TemporaryDirectory() as folder:
        export, store = Path(folder) / "export", Path(folder) / "store"
        write_simulation(simulation, export)
        ingest(export / "audits.csv", store)
        for name in ("events", "targets"):
            (store / f"{name}.csv").write_bytes((export / f"{name}.csv").read_bytes())
        begun = time.perf_counter()
        answers = run_deep_dive(open_case(store, site="here", period="2026-03"))
        seconds = time.perf_counter() - begun
    code, verdict = CODES[kind]
    first = answers.causes.causes[0].code if answers.causes.causes else ""
    found = build_headline(answers).verdict
    return first == code, found in (verdict, *ALSO_RIGHT.get(kind, ())), seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1000)
    given = parser.parse_args()
    print("| planted | named first | headline right | s |\n|---|---|---|---|")  # noqa: T201
    for kind in ("nothing", *CAUSE_KINDS):
        found = np.array([ask(kind, seed) for seed in range(given.first, given.first + given.seeds)])
        named, right, seconds = found.mean(axis=0)
        print(f"| {kind} | {named:.2f} | {right:.2f} | {seconds:.2f} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
