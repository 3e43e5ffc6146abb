"""What a killed process leaves behind, and whether the 500th run takes as little memory as the 50th.

    python tests/benchmarks/bench_faults.py [--moments N] [--runs N] [--seed SEED]

First part: `rca run` makes a batch of twelve small reports again. At a random moment one of its processes is killed by
SIGKILL: the runner, the runner's process group, the fork server, a worker or a kernel. Every report must then be either
the whole old or the whole new one, by its record and its hashes. Another `rca run` must complete the batch and leave no
process, no private folder and no unpublished report.

Second part: two workers make many small reports. No run may fail, each must have its own kernel, and memory, open files
and processes must not grow.

The exit status is 1 if anything is wrong. Linux only.
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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_notebook

from rca_lib.batch.processes import find_processes
from rca_lib.batch.run_grid import Run
from rca_lib.batch.run_records import RunOutcome, is_intact, read_record
from rca_lib.batch.runner import run_notebooks

SITES = ("bogota", "krakow", "lisbon", "manila")
MONTHS = ("2026-01", "2026-02", "2026-03")
MAX_WAIT_SECONDS = 20  # seconds for the processes of a killed batch to end
GENERATIONS = ("runner", "fork server", "worker", "kernel")  # each is the parent of the next
VICTIMS = ("runner", "group", "fork server", "worker", "kernel")
WARM_UP_RUNS = 50  # runs after which memory is measured for the first time
MAX_GROWTH_MB = 20
MAX_GROWTH_FILES = 5
MAX_GROWTH_PROCESSES = 2
PARAMETERS = 'site: str = ""\nperiod: str = ""\noutput: str = ""\nround: int = 0\n'
SAVE = """\
import json, os, pathlib, time, rca_lib
content = json.dumps({"round": round, "process": os.getpid(), "time": time.time()})
for name in ("findings", "claims", "more"): _ = (pathlib.Path(output) / f"{name}.json").write_text(content)
"""
SAVED_FILES = ("findings.json", "claims.json", "more.json")


def main() -> None:
    """Run both parts and print their tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    is_wrong = False
    with tempfile.TemporaryDirectory(prefix="faults-", dir="/tmp") as folder:
        if options.moments:
            is_wrong |= kill_at_random_moments(Path(folder), options.moments, random.Random(options.seed))
        if options.runs:
            is_wrong |= run_many(Path(folder), options.runs)
    sys.exit(int(is_wrong))


def kill_at_random_moments(folder: Path, moments: int, rng: random.Random) -> bool:
    """Kill processes, print the table, and return whether anything is wrong."""
    batch = Batch(folder / "kills")
    counts = Counter[str]()
    seconds = batch.run(0)
    for number in range(1, moments + 1):
        victim = VICTIMS[number % len(VICTIMS)] if number <= len(VICTIMS) else rng.choice(VICTIMS)
        was_killed = batch.run_and_kill(number, victim, rng.uniform(0, seconds))
        counts[victim if was_killed else "ended before"] += 1
        counts["reports"] += len(batch.report_folders)
        counts["orphans"] += len(batch.find_processes())
        counts["incomplete"] += batch.count_incomplete(number)
        batch.run(number)
        counts["completed"] += batch.count_new(number) == len(batch.report_folders)
        counts["orphans"] += len(batch.find_processes())
        counts["leftovers"] += batch.count_leftover_folders()
    kills = ", ".join(f"{name} {counts[name]}" for name in (*VICTIMS, "ended before") if counts[name])
    print_row("moments", "kills", "reports checked", "incomplete", "orphans", "leftover folders", "batches completed")
    print_row(*["---"] * 7)
    columns = ("reports", "incomplete", "orphans", "leftovers", "completed")
    print_row(moments, kills, *(counts[name] for name in columns))
    has_leftovers = counts["incomplete"] or counts["orphans"] or counts["leftovers"]
    return bool(has_leftovers or counts["completed"] < moments)


class Batch:
    """A batch of twelve small runs, with a temporary folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Write the audits and the notebook."""
        self.folder = folder
        self.temporary = folder / "tmp"
        self.reports = folder / "reports" / "b"
        self.temporary.mkdir(parents=True)
        self.report_folders = [self.reports / site / month for site in SITES for month in MONTHS]
        rows = ["audit_id,item_id,site,rater,decided_at,label,truth"]
        for site in SITES:
            for month in MONTHS:
                for number in range(9):
                    audit = f"{len(rows)}-{number}"
                    rows.append(f"{audit},{number},{site},r,{month}-0{number + 1}T10:00:00Z,x,x")
        (folder / "audits.csv").write_text("\n".join(rows) + "\n")
        write_notebook(folder / "n.ipynb")

    def start(self, number: int) -> subprocess.Popen[bytes]:
        """Start `rca run`; all reports are due, because each round has another parameter."""
        notebooks = "{deep_dive: n.ipynb, intake: null, ground_truth: null, portfolio: null}"
        (self.folder / "b.yml").write_text(
            f"batch: b\ndata: audits.csv\nnotebooks: {notebooks}\nparameters: {{round: {number}}}\n"
        )
        return subprocess.Popen(
            [sys.executable, "-m", "rca_lib", "run", "b.yml"],
            cwd=self.folder,
            env={**os.environ, "TMPDIR": str(self.temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def run(self, number: int) -> float:
        """Run the batch to its end and return the seconds."""
        start = time.perf_counter()
        self.start(number).wait()
        return time.perf_counter() - start

    def run_and_kill(self, number: int, victim: str, seconds: float) -> bool:
        """Run the batch, and kill a process after this time or as soon as there is one of this kind.

        Returns
        -------
        bool
            Whether there was one before the batch ended.
        """
        runner = self.start(number)
        was_killed = False
        time.sleep(seconds)
        while runner.poll() is None and not was_killed:
            was_killed = kill_process(runner.pid, victim)
            time.sleep(0.002)
        runner.wait()
        # The processes of a killed runner end by themselves, at the latest after the imports of the fork server.
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while self.find_processes() and time.monotonic() < deadline:
            time.sleep(0.01)
        return was_killed

    def count_incomplete(self, number: int) -> int:
        """Count the reports that are neither the whole old one nor the whole new one."""
        incomplete = [folder for folder in self.report_folders if read_round(folder) not in (number - 1, number)]
        for folder in incomplete:
            print(f"incomplete: {folder}: {read_record(folder)}", file=sys.stderr)  # noqa: T201
        return len(incomplete)

    def count_new(self, number: int) -> int:
        """Count the whole reports of this round."""
        return sum(read_round(folder) == number for folder in self.report_folders)

    def count_leftover_folders(self) -> int:
        """Count the unpublished reports and the private folders."""
        unpublished = [path for path in self.reports.glob("**/.*") if path.is_dir()]
        return len(unpublished) + len(list(self.temporary.iterdir()))

    def find_processes(self) -> list[int]:
        """Return the processes whose private folder lies in the temporary folder of this batch."""
        return find_processes("RCA_HOME", f"{self.temporary}/", match_prefix=True)


def write_notebook(file: Path) -> None:
    """Write the notebook of all these runs."""
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(SAVE)]
    nbformat.write(new_notebook(cells=cells), file)


def read_round(folder: Path) -> int | None:
    """Return the round that a report was made in; None if it is incomplete or its files are of several rounds."""
    record = read_record(folder)
    if record.get("outcome") != "succeeded" or not is_intact(folder, record):
        return None
    if not set(SAVED_FILES) <= set(record["files"]):
        return None
    rounds = {json.loads((folder / name).read_text())["round"] for name in SAVED_FILES}
    rounds.add(record["parameters"]["round"])
    return rounds.pop() if len(rounds) == 1 else None


def kill_process(runner: int, victim: str) -> bool:
    """Kill the runner, its process group, or one of its descendants; return whether there was one."""
    if victim == "group":
        os.killpg(runner, signal.SIGKILL)
        return True
    processes = [psutil.Process(runner)]
    for _ in range(GENERATIONS.index(victim)):
        processes = [child for process in processes for child in list_children(process)]
    for process in processes[:1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return bool(processes)


def list_children(process: psutil.Process) -> list[psutil.Process]:
    """Return the children of a process that belong to a batch."""
    children = []
    with suppress(psutil.Error):  # the process has just ended
        for child in process.children():
            with suppress(psutil.Error):
                if "RCA_HOME" in child.environ():
                    children.append(child)
    return children


@dataclass(frozen=True)
class Usage:
    """What the processes of a batch use after a number of runs."""

    runs: int
    runner_mb: float
    fork_server_mb: float
    open_files: int
    processes: int
    seconds_per_run: float


def run_many(folder: Path, number: int) -> bool:
    """Make many reports, print the table, and return whether anything is wrong."""
    write_notebook(folder / "n.ipynb")
    runs = [
        Run("s", str(round_), folder / "n.ipynb", f"s/{round_}", {"round": round_}, fingerprint="f")
        for round_ in range(number)
    ]
    outcomes: list[RunOutcome] = []
    usages: list[Usage] = []
    start = time.perf_counter()

    def add_outcome(outcome: RunOutcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) in (min(WARM_UP_RUNS, number), number):
            usages.append(measure_usage(len(outcomes), time.perf_counter() - start))

    run_notebooks(runs, folder / "many", on_progress=add_outcome)
    saved = [json.loads(file.read_text()) for file in (folder / "many").glob("s/*/more.json")]
    failed = sum(outcome.outcome == "failed" for outcome in outcomes)
    kernels = len({content["process"] for content in saved})
    print_row("runs", "failed", "kernels", "runner MB", "fork server MB", "open files", "processes", "s per run")
    print_row(*["---"] * 8)
    for usage in usages:
        memory = (f"{usage.runner_mb:.1f}", f"{usage.fork_server_mb:.1f}")
        print_row(
            usage.runs, failed, kernels, *memory, usage.open_files, usage.processes, f"{usage.seconds_per_run:.2f}"
        )
    return bool(failed or kernels < number or has_grown(usages[0], usages[-1]))


def measure_usage(runs: int, seconds: float) -> Usage:
    """Measure this process, the fork server and their descendants."""
    runner = psutil.Process()
    fork_server = list_children(runner)[0]
    return Usage(
        runs,
        runner.memory_info().rss / 1e6,
        fork_server.memory_info().rss / 1e6,
        runner.num_fds(),
        1 + len(fork_server.children(recursive=True)),
        seconds / runs,
    )


def has_grown(first: Usage, last: Usage) -> bool:
    """Return whether the processes use more than at the first measurement."""
    return (
        last.runner_mb - first.runner_mb > MAX_GROWTH_MB
        or last.fork_server_mb - first.fork_server_mb > MAX_GROWTH_MB
        or last.open_files - first.open_files > MAX_GROWTH_FILES
        or last.processes - first.processes > MAX_GROWTH_PROCESSES
    )


def print_row(*cells: object) -> None:
    """Print a row of a Markdown table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
