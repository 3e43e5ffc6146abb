"""How fast a batch of deep dives runs: the project's runner compared with Papermill alone and with the bare analysis.

    python tests/benchmarks/bench_batch.py [--runs N] [--workers W] [--repeats R]

The same reports on synthetic audits are made, in one run on one machine, in seven ways:

- papermill, one: `papermill.execute_notebook` as it is, one report after the other in one process, a new kernel each,
  then the page. It uses as many BLAS threads as there are cores, which is the default; all other ways use one.
- papermill, pool: the same, in a pool with a process per worker.
- cold: the project's runner with `--cold`, a new kernel each.
- warm: the project's runner with forked kernels. The seconds include its imports.
- function: the lower limit. The notebook's cells run as a plain function, without kernel, messages, page or files, in a
  process per worker. Each process has called the function four times before the clock starts.
- function and imports: the same, but the clock starts before the processes do, as it does for the runner.
- function, one: the same as the function, one report after the other in one process.

Seconds are wall time, the smallest of the repeats. Memory is the largest sum of the proportional set sizes of all
processes, divided by the number of workers, in a shorter run of its own (Linux).
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout, suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
WARM_UP_CALLS = 4  # calls of the function in each process before the clock starts
SAMPLE_SECONDS = 0.5  # seconds between two measurements of memory
Contestant = Callable[[list, Path], object]


def main() -> None:
    """Run all ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"
    runs = plan_demo_runs()[: options.runs]
    contestants = list_contestants(options.workers)
    seconds = dict.fromkeys(contestants, float("inf"))
    for _ in range(options.repeats):
        for name, contestant in contestants.items():
            seconds[name] = min(seconds[name], measure_seconds(contestant, runs))
            print(f"{name}: {seconds[name]:.1f} s", file=sys.stderr)  # noqa: T201
    # Memory is measured separately, because measuring takes time.
    few_runs = runs[: 2 * options.workers]
    memory = {name: measure_memory(contestant, few_runs) for name, contestant in contestants.items()}
    print_table(seconds, memory, len(runs), options.workers)


def plan_demo_runs() -> list:
    """Return the deep dives of the demo."""
    from rca_lib.batch.batch_file import read_batch
    from rca_lib.batch.run_grid import plan_runs
    from rca_lib.simulation.demo import create_demo_store
    from rca_lib.store.catalog import list_periods, list_sites

    store = create_demo_store()
    months = {site: list_periods(store, site) for site in list_sites(store)}
    batch = read_batch(ROOT / "parameters" / "demo.yml")
    planned = plan_runs(batch, months, months, extra_values={"store": str(store)})
    return [run for run in planned if run.site]


def list_contestants(workers: int) -> dict[str, Contestant]:
    """Return the ways to make the reports, by name."""
    from rca_lib.batch.runner import run_notebooks

    return {
        "papermill, one": partial(run_papermill, workers=1),
        "papermill, pool": partial(run_papermill, workers=workers),
        "cold": partial(run_notebooks, workers=workers, cold=True),
        "warm": partial(run_notebooks, workers=workers),
        "function and imports": partial(run_function, workers=workers, warm_up_calls=0),
        "function": partial(run_function, workers=workers),
        "function, one": partial(run_function, workers=1),
    }


def print_table(seconds: dict[str, float], memory: dict[str, float], runs: int, workers: int) -> None:
    """Print seconds, ratios and memory of each way."""
    print(f"{runs} reports, {workers} workers\n")  # noqa: T201
    print("| | seconds | × papermill, one | × papermill, pool | × function | MB a worker |")  # noqa: T201
    print("|---|---|---|---|---|---|")  # noqa: T201
    for name, duration in seconds.items():
        speed_ups = [seconds[reference] / duration for reference in ("papermill, one", "papermill, pool")]
        ratios = " | ".join(f"{ratio:.2f}" for ratio in (*speed_ups, duration / seconds["function"]))
        megabytes = memory[name] / (1 if name.endswith(", one") else workers)
        print(f"| {name} | {duration:.1f} | {ratios} | {megabytes:,.0f} |")  # noqa: T201


def measure_seconds(contestant: Contestant, runs: list) -> float:
    """Return the seconds that a contestant takes, or the seconds that it returns."""
    with tempfile.TemporaryDirectory(prefix="bench-") as out:
        start = time.perf_counter()
        result = contestant(runs, Path(out))
        return result if isinstance(result, float) else time.perf_counter() - start


def measure_memory(contestant: Contestant, runs: list) -> float:
    """Return the largest sum of the proportional set sizes of a contestant's processes, in megabytes."""
    sizes = [0.0]
    has_ended = threading.Event()

    def sample() -> None:
        while not has_ended.wait(SAMPLE_SECONDS):
            processes = psutil.Process().children(recursive=True)
            sizes.append(sum(map(get_proportional_size, processes)))

    thread = threading.Thread(target=sample)
    thread.start()
    measure_seconds(contestant, runs)
    has_ended.set()
    thread.join()
    return max(sizes)


def get_proportional_size(process: psutil.Process) -> float:
    """Return the proportional set size of a process in megabytes; 0 if it has just ended."""
    with suppress(psutil.Error, OSError):
        return process.memory_full_info().pss / (1 << 20)
    return 0.0


def run_papermill(runs: list, out: Path, *, workers: int) -> None:
    """Run notebooks with Papermill as it is, in one process or in a pool."""
    with ProcessPoolExecutor(workers, get_context("spawn"), _unset_thread_variables) as pool:
        list(pool.map(partial(_run_one_with_papermill, out=out), runs))


def run_function(runs: list, out: Path, *, workers: int, warm_up_calls: int = WARM_UP_CALLS) -> float:
    """Run the cells of notebooks as a function.

    Returns
    -------
    float
        The seconds after the warm-up; with 0 warm-up calls, those since the start of the processes.
    """
    start = time.perf_counter()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for future in [pool.submit(_call_cells, runs[0]) for _ in range(warm_up_calls * workers)]:
            future.result()
        if warm_up_calls:
            start = time.perf_counter()
        list(pool.map(_call_cells, runs))
        return time.perf_counter() - start


def _unset_thread_variables() -> None:
    for name in THREAD_VARIABLES:
        os.environ.pop(name, None)


def _run_one_with_papermill(run, out: Path) -> None:
    import logging

    import papermill

    from rca_lib.reporting.html import export_html

    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    folder = out / run.folder
    folder.mkdir(parents=True)
    parameters = {**run.parameters, "output": str(folder)}
    notebook = papermill.execute_notebook(
        run.notebook, folder / "report.ipynb", parameters, kernel_name="python3", progress_bar=False
    )
    (folder / "report.html").write_text(export_html(notebook, title=run.folder), encoding="utf-8")


def _call_cells(run) -> int:
    """Run the cells in this process; what they would display is created and discarded."""
    cells = json.loads(run.notebook.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    displayed = 0
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last_expression = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
        with redirect_stdout(io.StringIO()):  # what `display` prints without a notebook
            exec(compile(tree, "cell", "exec"), names)
            if "parameters" in cell["metadata"].get("tags", ()):
                names.update(run.parameters)
            value = eval(compile(last_expression, "cell", "eval"), names) if last_expression else None
        displayed += _count_media_types(value)
    return displayed


def _count_media_types(value: object) -> int:
    """Return how many media types a notebook would display for a value; each is created."""
    if hasattr(value, "_repr_mimebundle_"):
        bundle = value._repr_mimebundle_()
        return len(bundle[0] if isinstance(bundle, tuple) else bundle)
    return int(hasattr(value, "_repr_html_") and bool(value._repr_html_()))


if __name__ == "__main__":
    main()
