"""What a sweep adds to papermill alone, and what two kernels at a time gain.

    python benchmarks/sweep.py path/to/excellent_oriented.zip [--runs 8] [--trivial 1000]

The runs are those of notebook 02, which trains nothing, so that no fit comes from the cache. Then
as many runs of a notebook that does nothing show what a run costs besides its work, and how often
kernels that start together get in each other's way. Last, what a cluster needs besides its workers:
the process that started the sweep keeps each run that comes back, the Dask scheduler hands out
tasks, and each run reads the archive. Nothing else should be running. The table that notebook 07
shows is written to results/sweeps/overhead.csv.
"""

import argparse
import contextlib
import io
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import pandas as pd
from distributed import LocalCluster

from fmcnn_utils import data, notebooks, parallel, results, sweep


def by_papermill(path, runs, folder):
    """Papermill's command, once for each run."""
    for i, values in enumerate(runs):
        given = [text for name, value in values.items() for text in ("-p", name, str(value))]
        command = [sys.executable, "-m", "papermill", path, folder / f"{i}.ipynb", *given]
        subprocess.run([*command, "--no-progress-bar"], check=True, capture_output=True)


def by_sweep(path, runs, folder, n_jobs):
    """The same runs as a sweep."""
    plan = sweep.Sweep("benchmark", "", path, runs, [], [], [])
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        table = sweep.run(plan, folder, n_jobs)
    return int(table["error"].notna().sum())


def trivial(folder):
    """A notebook that only shows its seed."""
    cells = [
        nbformat.v4.new_code_cell("SEED = 0", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("SEED"),
    ]
    path = folder / "trivial.ipynb"
    meta = {"kernelspec": notebooks.KERNEL}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=meta), path)
    return path


def kept(path, folder, n_runs):
    """Seconds in which one of many runs is kept that come back at once."""
    executed = folder / "executed.ipynb"
    notebooks.execute(path, executed, {})
    text = executed.read_text(encoding="utf-8")
    run, parallel.run = parallel.run, lambda _, tasks, *where: ((key, (text, "")) for key in tasks)
    try:
        seconds, _ = timed(lambda: by_sweep(path, seeds(n_runs), folder / "kept", 1))
        return seconds / n_runs, len(text)
    finally:
        parallel.run = run


def dask_task(n_tasks):
    """Seconds of a Dask task that does nothing, on two local workers."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        tasks = {i: (i,) for i in range(n_tasks)}
        address = cluster.scheduler_address
        return timed(lambda: list(parallel.run(abs, tasks, scheduler=address)))[0] / n_tasks


def timed(run):
    """Seconds, and what the call returned."""
    start = time.perf_counter()
    returned = run()
    return time.perf_counter() - start, returned


def seeds(n):
    return [{"SEED": seed} for seed in range(n)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--trivial", type=int, default=1000)
    args = parser.parse_args()
    (path,) = notebooks.find(["02"])
    (experiment,) = notebooks.find(["experiment"], everywhere=True)
    found = []

    def note(what, value, unit):
        found.append({"what": what, "value": round(value, 4), "unit": unit})
        print(f"{what}: {value:.4g} {unit}", flush=True)

    with TemporaryDirectory() as made:
        folder, runs = Path(made), seeds(args.runs)
        ways = {
            "papermill, one run after another": lambda: by_papermill(path, runs, folder),
            "sweep, one kernel": lambda: by_sweep(path, runs, folder / "one", 1),
            "sweep, two kernels": lambda: by_sweep(path, runs, folder / "two", 2),
        }
        for way, run in ways.items():
            note(way, timed(run)[0] / args.runs, "s a run")
        empty, many = trivial(folder), seeds(args.trivial)
        seconds, failed = timed(lambda: by_sweep(empty, many, folder / "empty", 2))
        note("notebook that does nothing, two kernels", seconds / args.trivial, "s a run")
        note("runs of it", args.trivial, "")
        note("runs of it that failed", failed, "")
        seconds, size = kept(experiment, folder, args.trivial)
        note("keeping a run that comes back", seconds, "s a run")
        note("size of a run that comes back", size / 1e6, "MB")
    note("Dask task that does nothing", dask_task(args.trivial), "s")
    note("size of the archive", args.archive.stat().st_size / 1e6, "MB")
    note("reading the archive", timed(lambda: data.load(args.archive))[0], "s")
    pd.DataFrame(found).to_csv(results.ROOT / "results/sweeps/overhead.csv", index=False)


if __name__ == "__main__":
    main()
