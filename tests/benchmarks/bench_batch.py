"""How fast a batch of deep dives runs: the project's runner beside Papermill and beside the bare analysis.

    python tests/benchmarks/bench_batch.py [--runs N] [--workers W] [--repeats R]

The same site-periods of the synthetic audits are reported, in one run on one machine, by

- papermill, one: `papermill.execute_notebook` as it is, one after the other in one process, a plain kernel each, then
  the page; as many BLAS threads as there are cores, which is the default, where all others have one;
- papermill, pool: the same in a pool of as many processes as there are workers;
- cold: the project's runner with `--cold`, a plain kernel each;
- warm: the project's runner, kernels forked from one process; the seconds hold its imports;
- function: the limit. The notebook's cells as a plain function, without kernel, messages, page or files, in as many
  processes as there are workers, each of which has called it four times before the clock starts;
- function and imports: the same, but the clock starts before the processes do, as it does for the runner;
- function, one: the same as the function, one after the other in one process.

Seconds are of wall time, the least of the repeats; memory is the most that all processes of a contestant had to
themselves at one time (proportional set size), over the number of workers, in a shorter run of its own (Linux).
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    for name in THREADS:
        os.environ[name] = "1"
    from rca_lib.audits.demo import demo_store
    from rca_lib.audits.store import list_periods, list_sites
    from rca_lib.batch.grid import plan_runs, read_batch
    from rca_lib.batch.runner import run_grid

    store = demo_store()
    months = {site: list_periods(store, site) for site in list_sites(store)}
    planned = plan_runs(read_batch(ROOT / "parameters" / "demo.yml"), months, months, given={"store": str(store)})
    runs = [run for run in planned if run.site][: options.runs]
    contestants: dict[str, Callable[[list, Path], object]] = {
        "papermill, one": partial(run_papermill, workers=1),
        "papermill, pool": partial(run_papermill, workers=options.workers),
        "cold": partial(run_grid, workers=options.workers, cold=True),
        "warm": partial(run_grid, workers=options.workers),
        "function and imports": partial(run_function, workers=options.workers, called=0),
        "function": partial(run_function, workers=options.workers),
        "function, one": partial(run_function, workers=1),
    }
    seconds = dict.fromkeys(contestants, float("inf"))
    memory = dict.fromkeys(contestants, 0.0)
    for _ in range(options.repeats):
        for name, contestant in contestants.items():
            seconds[name] = min(seconds[name], measure(contestant, runs))
            print(f"{name}: {seconds[name]:.1f} s", file=sys.stderr)  # noqa: T201
    for name, contestant in contestants.items():  # apart: to look at memory takes time
        memory[name] = weigh(contestant, runs[: 2 * options.workers])
    print(f"{len(runs)} site-periods, {options.workers} workers\n")  # noqa: T201
    print("| | seconds | papermill, one | papermill, pool | over the function | MB a worker |")  # noqa: T201
    print("|---|---|---|---|---|---|")  # noqa: T201
    for name in contestants:
        one, pool, limit = (seconds[other] for other in ("papermill, one", "papermill, pool", "function"))
        ratios = f"{one / seconds[name]:.2f} × | {pool / seconds[name]:.2f} × | {seconds[name] / limit:.2f} ×"
        each = memory[name] / (1 if name.endswith(", one") else options.workers)
        print(f"| {name} | {seconds[name]:.1f} | {ratios} | {each:,.0f} |")  # noqa: T201


def measure(contestant: Callable[[list, Path], object], runs: list) -> float:
    """Return the seconds that a contestant takes, or says that it took."""
    with tempfile.TemporaryDirectory(prefix="bench-") as out:
        clock = time.perf_counter()
        told = contestant(runs, Path(out))
        return told if isinstance(told, float) else time.perf_counter() - clock


def weigh(contestant: Callable[[list, Path], object], runs: list) -> float:
    """Return the most megabytes that the processes of a contestant have to themselves at one time."""
    most, ended = [0.0], threading.Event()
    watch = threading.Thread(target=_watch, args=(most, ended))
    watch.start()
    measure(contestant, runs)
    ended.set()
    watch.join()
    return most[0]


def run_papermill(runs: list, out: Path, *, workers: int) -> None:
    """Run notebooks by Papermill as it is, in one process or in a pool."""
    with ProcessPoolExecutor(workers, get_context("spawn"), _forget_threads) as pool:
        list(pool.map(partial(_papermill_one, out=out), runs))


def run_function(runs: list, out: Path, *, workers: int, called: int = 4) -> float:
    """Run the cells of notebooks as a function; return the seconds from when each process has called it so often."""
    start = time.perf_counter()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for future in [pool.submit(_call_cells, runs[0]) for _ in range(called * workers)]:
            future.result()
        clock = time.perf_counter() if called else start
        list(pool.map(_call_cells, runs))
        return time.perf_counter() - clock


def _forget_threads() -> None:
    for name in THREADS:
        os.environ.pop(name, None)


def _papermill_one(run, out: Path) -> None:
    import logging

    import papermill

    from rca_lib.reporting.html import export_html

    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    folder = out / run.folder
    folder.mkdir(parents=True)
    parameters = {**run.parameters, "output": str(folder)}
    told = {"kernel_name": "python3", "progress_bar": False}
    node = papermill.execute_notebook(run.notebook, folder / "report.ipynb", parameters, **told)
    (folder / "report.html").write_text(export_html(node, title=run.folder), encoding="utf-8")


def _call_cells(run) -> int:
    """Run the cells in this process; what they would display is made and thrown away."""
    cells = json.loads(run.notebook.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    shown = 0
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "cell", "exec"), names)
        if "parameters" in cell["metadata"].get("tags", ()):
            names.update(run.parameters)
        value = eval(compile(last, "cell", "eval"), names) if last else None
        shown += len(value._repr_mimebundle_()[0]) if hasattr(value, "_repr_mimebundle_") else 0
    return shown


def _watch(most: list[float], ended: threading.Event) -> None:
    """Note the most megabytes that the processes below this one have to themselves."""
    while not ended.wait(0.5):
        most[0] = max(most[0], sum(map(_size, _descendants(os.getpid()))))


def _descendants(process: int) -> list[int]:
    below = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text().split()):
                below += [child, *_descendants(child)]
    return below


def _size(process: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
