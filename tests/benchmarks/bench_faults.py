"""Does a batch lose nothing and leave nothing behind, whatever is killed, and is the 500th run as quick as the 50th?

    python tests/benchmarks/bench_faults.py [--moments N] [--runs N] [--seed SEED]

First, `rca run` makes a batch of twelve small reports anew that stand already; at a random moment one of its processes,
chosen at random, gets kill -9: the runner, the runner's process group, the warm process, a worker, a kernel. Then every
report has to be whole, the old or the new one, by its record and by the hashes in it; and another `rca run` has to
complete the batch and to leave no process, no private folder and no unpublished report. Second, many small runs by two
workers: no error, a kernel of its own for each, and no growth. The exit status is 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from rca_lib.batch.grid import Run
from rca_lib.batch.processes import list_named
from rca_lib.batch.records import Outcome, is_whole, read_record
from rca_lib.batch.runner import run_grid

SITES, MONTHS = ("bogota", "krakow", "lisbon", "manila"), ("2026-01", "2026-02", "2026-03")
PATIENCE = 20  # seconds
KINDS = ("runner", "group", "warm", "worker", "kernel")
PARAMETERS = 'site: str = ""\nperiod: str = ""\noutput: str = ""\nround: int = 0\n'
SAVE = """\
import json, os, pathlib, time, rca_lib
told = json.dumps({"round": round, "process": os.getpid(), "time": time.time()})
for name in ("findings", "claims", "more"): _ = (pathlib.Path(output) / f"{name}.json").write_text(told)
"""
NAMES = ("findings.json", "claims.json", "more.json")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    wrong = False
    with tempfile.TemporaryDirectory(prefix="faults-", dir="/tmp") as place:
        if given.moments:
            wrong |= kill(Path(place), given.moments, random.Random(given.seed))
        if given.runs:
            wrong |= endure(Path(place), given.runs)
    sys.exit(int(wrong))


def kill(place: Path, moments: int, rng: random.Random) -> bool:
    """Kill at so many moments and print what came of it; return whether anything is wrong."""
    batch, counts = Batch(place / "kills"), Counter[str]()
    whole = batch.complete(0)
    for number in range(1, moments + 1):
        kind = KINDS[number % len(KINDS)] if number <= len(KINDS) else rng.choice(KINDS)
        counts[kind if batch.strike(number, kind, rng.uniform(0, whole)) else "ended before"] += 1
        counts["reports"] += len(batch.folders)
        counts["orphans"] += len(batch.processes())
        counts["halves"] += batch.count_halves(number)
        batch.complete(number)
        counts["completed"] += batch.count_new(number) == len(batch.folders)
        counts["orphans"] += len(batch.processes())
        counts["stale"] += batch.count_stale()
    by_kind = ", ".join(f"{kind} {counts[kind]}" for kind in (*KINDS, "ended before") if counts[kind])
    said = [by_kind, *(counts[name] for name in ("reports", "halves", "orphans", "stale", "completed"))]
    show("moments", "kills", "reports checked", "halves", "orphans", "stale folders", "batches completed")
    show(*["---"] * 7)
    show(moments, *said)
    return bool(counts["halves"] or counts["orphans"] or counts["stale"] or counts["completed"] < moments)


class Batch:
    """A batch of twelve small runs, its reports, and a temporary folder of its own."""

    def __init__(self, place: Path) -> None:
        """Write the audits and the notebook."""
        self.place, self.temporary, self.reports = place, place / "tmp", place / "reports" / "b"
        self.temporary.mkdir(parents=True)
        self.folders = [self.reports / site / month for site in SITES for month in MONTHS]
        rows = [f"{n},{n},{s},r,{m}-0{n % 9 + 1}T10:00:00Z,x,x" for s in SITES for m in MONTHS for n in range(9)]
        rows = [f"{number}{row}" for number, row in enumerate(rows, start=10)]
        text = "\n".join(["audit_id,item_id,site,rater,decided_at,label,truth", *rows])
        (place / "audits.csv").write_text(f"{text}\n")
        write_notebook(place / "n.ipynb")

    def start(self, number: int) -> subprocess.Popen[bytes]:
        """Start `rca run`, whose reports are due in each round."""
        kinds = "notebooks: {deep_dive: n.ipynb, intake: null, ground_truth: null, portfolio: null}"
        (self.place / "b.yml").write_text(f"batch: b\ndata: audits.csv\n{kinds}\nparameters: {{round: {number}}}\n")
        command = [sys.executable, "-m", "rca_lib", "run", "b.yml"]
        options = {"cwd": self.place, "env": {**os.environ, "TMPDIR": str(self.temporary)}, "start_new_session": True}
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)

    def complete(self, number: int) -> float:
        """Run it to its end and return the seconds."""
        begun = time.perf_counter()
        self.start(number).wait()
        return time.perf_counter() - begun

    def strike(self, number: int, kind: str, seconds: float) -> bool:
        """Start a batch and kill after so many seconds, or as soon as there is one of this kind, and wait for the end.

        Return whether there was one before the batch ended.
        """
        runner, struck = self.start(number), False
        time.sleep(seconds)
        while runner.poll() is None and not struck:
            struck = strike(runner.pid, kind)
            time.sleep(0.002)
        runner.wait()
        # What a killed runner started ends by itself, at the latest when the warm process has imported everything.
        patience = time.monotonic() + PATIENCE
        while self.processes() and time.monotonic() < patience:
            time.sleep(0.01)
        return struck

    def count_halves(self, number: int) -> int:
        """Count the reports that are neither the whole old one nor the whole new one."""
        halves = [folder for folder in self.folders if read_round(folder) not in (number - 1, number)]
        for folder in halves:
            print(f"half: {folder}: {read_record(folder)}", file=sys.stderr)  # noqa: T201
        return len(halves)

    def count_new(self, number: int) -> int:
        """Count the whole reports of this round."""
        return sum(read_round(folder) == number for folder in self.folders)

    def count_stale(self) -> int:
        """Count the folders that no batch needs any more."""
        hidden = [path for path in self.reports.glob("**/.*") if path.is_dir()]
        return len(hidden) + len([*self.temporary.iterdir()])

    def processes(self) -> list[int]:
        """Return the processes that know a private folder in the temporary one."""
        return list_named(f"RCA_HOME={self.temporary}/")


def write_notebook(file: Path) -> None:
    """Write the notebook of all these runs."""
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(SAVE)]
    nbformat.write(new_notebook(cells=cells), file)


def read_round(folder: Path) -> int | None:
    """Return the round that a report was made in, None where it is not whole or its files are of several."""
    record = read_record(folder)
    if record.get("outcome") != "succeeded" or not is_whole(folder, record) or not {*NAMES} <= {*record["files"]}:
        return None
    rounds = {json.loads((folder / name).read_text())["round"] for name in NAMES} | {record["parameters"]["round"]}
    return rounds.pop() if len(rounds) == 1 else None


def strike(runner: int, kind: str) -> bool:
    """Kill the runner, its group, or one that it started; return whether there was one."""
    if kind == "group":
        os.killpg(runner, signal.SIGKILL)
        return True
    found = [runner]
    for _ in range(("runner", "warm", "worker", "kernel").index(kind)):
        found = [child for parent in found for child in list_children(parent)]
    for process in found[:1]:
        os.kill(process, signal.SIGKILL)
    return bool(found)


def list_children(process: int) -> list[int]:
    """Return the children of a process that belong to a batch."""
    try:
        tasks = [*Path(f"/proc/{process}/task").glob("*/children")]
        children = [int(child) for task in tasks for child in task.read_text().split()]
        return [one for one in children if b"RCA_HOME=" in Path(f"/proc/{one}/environ").read_bytes()]
    except OSError:  # it has just ended
        return []


def endure(place: Path, number: int) -> bool:
    """Make so many reports and print how the processes grew; return whether anything is wrong."""
    write_notebook(place / "n.ipynb")
    runs = [Run("s", str(one), place / "n.ipynb", f"s/{one}", {"round": one}, fingerprint="f") for one in range(number)]
    ended, measured, begun = [], [], time.perf_counter()

    def look(outcome: Outcome) -> None:
        ended.append(outcome)
        if len(ended) in (min(50, number), number):
            measured.append((len(ended), *measure(), (time.perf_counter() - begun) / len(ended)))

    run_grid(runs, place / "many", on_progress=look)
    told = [json.loads(file.read_text()) for file in (place / "many").glob("s/*/more.json")]
    failed = sum(outcome.outcome == "failed" for outcome in ended)
    kernels = len({one["process"] for one in told})
    show("runs", "failed", "kernels", "runner MB", "warm MB", "descriptors", "processes", "s per run")
    show(*["---"] * 8)
    for count, runner, warm, descriptors, processes, seconds in measured:
        show(count, failed, kernels, f"{runner:.1f}", f"{warm:.1f}", descriptors, processes, f"{seconds:.2f}")
    (_, *first, _), (_, *last, _) = measured[0], measured[-1]
    grown = last[0] - first[0] > 20 or last[1] - first[1] > 20 or last[2] > first[2] + 5 or last[3] > first[3] + 2
    return bool(failed or kernels < number or grown)


def measure() -> tuple[float, float, int, int]:
    """Return the memory of this process and of the warm one in MB, the descriptors of this one, and its processes."""
    warm = list_children(os.getpid())[:1]
    below = [process for worker in list_children(warm[0]) for process in (worker, *list_children(worker))]
    return (
        read_memory(os.getpid()),
        read_memory(warm[0]),
        len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        len(warm + below),
    )


def read_memory(process: int) -> float:
    """Return the resident memory of a process in MB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def show(*cells: object) -> None:
    """Print a row of a table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
