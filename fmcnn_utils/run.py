"""The commands: ``python -m fmcnn_utils COMMAND``, or the Makefile's target of the same name.

Reading the command line needs the standard library alone, so that a mistyped command is refused
before anything is installed; what a command needs is imported where it runs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ._problem import Problem, Refused

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"


def reproduce(args) -> int:
    """Run the notebooks, quick profile, on the embedded data: build/reproduce/index.html."""
    return _run_all(args, BUILD / "reproduce", {"DATA": args.data})


def paper(args) -> int:
    """Run the full protocol on the RRUFF archive, then the notebooks: build/paper/index.html.

    Writes results/rruff, figures/ and the README's table. It takes hours, and may be stopped at
    any time: the next run takes up where it was.
    """
    from . import explained, notebooks, parameters, pretrained, protocol, report, results

    values = {"DATA": args.data, "PROFILE": "full", "SEED": str(protocol.SEED)}
    for name, _ in args.parameter:
        if name in (*values, "REPEATS"):
            raise Refused(f"-p {name} is not for paper, which sets it: see --data and --repeats")
    paths = notebooks.find(args.notebooks)
    if any("REPEATS" in parameters.of_notebook(path) for path in paths):
        values["REPEATS"] = str(args.repeats)
    parameters.assign(paths, values | dict(args.parameter))  # refuse before hours are spent
    spectra = _from_rruff(args.data)
    if not args.notebooks:
        report.readme_parts()  # refuse a README without its marks now, too
        protocol.run(spectra, args.repeats, n_jobs=args.jobs, scheduler=args.scheduler)
        report.update_readme()
        pretrained.make(spectra)
        results.keep(explained.run(spectra, n_jobs=args.jobs).round(4), "attribution")
    return _run_all(args, BUILD / "paper", values)


def search_settings(args) -> int:
    """Search for what the paper leaves open: results/rruff/search_MODEL.csv."""
    from . import results, search

    spectra = _from_rruff(args.data)
    found = search.run(spectra, args.models, n_jobs=args.jobs, scheduler=args.scheduler)
    for model, table in found.round(4).groupby("model", sort=False):
        table = table.dropna(axis="columns", how="all")  # only a network has weights
        results.keep(table, f"search_{model.lower()}")
        print(f"\n{table.to_string(index=False)}\n")
    return 0


def _from_rruff(data: str):
    """The spectra of an archive: what is kept in ``results/rruff`` is made from nothing else."""
    from . import datasets

    spectra = datasets.load(data)
    if spectra.source != "RRUFF":
        raise Refused(
            f"{data} is not the RRUFF archive but {spectra.source}, and results/rruff is kept for "
            "RRUFF: give --data rruff or the path of an archive"
        )
    return spectra


def _run_all(args, folder: Path, values: dict) -> int:
    from . import atlas, notebooks, parameters

    paths = notebooks.find(args.notebooks)
    values = {name: value for name, value in values.items() if value is not None}
    values |= dict(args.parameter)
    values_of = parameters.assign(paths, values)
    shutil.rmtree(folder, ignore_errors=True)  # an old run must not pass for this one
    minutes = {}
    for path in paths:
        print(f"{path.stem} ...", end=" ", flush=True)
        output = folder / path.name
        try:
            minutes[path.stem] = notebooks.execute(path, output, values_of[path])
        except notebooks.NotebookFailed as failure:
            return _stopped(failure, output)
        notebooks.write_html(output)
        print(f"{minutes[path.stem]:.1f} min", flush=True)
    data = values.get("DATA", "atlas")
    source = f"Spectra: {atlas.SOURCE if data == 'atlas' else f'RRUFF, {data}'}."
    given = ", ".join(f"{name} = {value}" for name, value in values.items() if name != "DATA")
    index = notebooks.write_index(folder, minutes, f"{source} {given or 'All else as committed.'}")
    print(f"\n{source}\n{notebooks.numbers(folder, minutes)}\n\nTo read: {index}")
    return 0


def sweep(args) -> int:
    """Run a notebook for every combination of values: build/sweep/NOTEBOOK/claims.csv."""
    import pandas as pd

    from . import notebooks, parameters

    path, *others = notebooks.find([args.notebook])
    if others:
        raise FileNotFoundError(f"{args.notebook!r} begins more than one notebook's name")
    names = [name for name, *_ in args.parameter]
    for name in names:
        if names.count(name) > 1:
            raise Refused(f"-p {name} is given more than once: put all its values behind one -p")
    runs = [  # all of them are looked at before the first is run
        parameters.assign([path], dict(zip(names, values, strict=True)))[path]
        for values in itertools.product(*(values for _, *values in args.parameter))
    ]
    if not runs:
        raise Refused("each -p takes a name and the values to try, e.g. -p SEED 0 1 2")
    folder = BUILD / "sweep" / path.stem
    shutil.rmtree(folder, ignore_errors=True)
    rows = []
    for i, values in enumerate(runs, start=1):
        said = {name: str(value) for name, value in values.items()}
        print(f"{i}/{len(runs)} {said} ...", end=" ", flush=True)
        output = folder / f"run-{i:03d}.ipynb"
        row = {"run": output.stem, **said, "minutes": None, "problem": None}
        try:
            row["minutes"] = round(notebooks.execute(path, output, values), 2)
            print(f"{row['minutes']:.1f} min", flush=True)
        except notebooks.NotebookFailed as failure:  # one that fails is a result, too
            row["problem"] = str(failure)
            print(failure, flush=True)
        rows += [row | claim for claim in notebooks.claims(output).to_dict("records") or [{}]]
    columns = ["run", *names, "number", "value", "low", "high", "minutes", "problem"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(folder / "claims.csv", index=False)
    print(f"\n{table.drop(columns='problem').to_string(index=False)}\n\n{folder / 'claims.csv'}")
    return int(table["problem"].notna().any())


def refresh(args) -> int:
    """Execute the committed notebooks at their defaults, in place."""
    from . import notebooks

    for path in notebooks.find(args.notebooks):
        print(f"{path.stem} ...", end=" ", flush=True)
        output = BUILD / "notebooks" / path.name
        try:
            print(f"{notebooks.refresh(path, output):.1f} min", flush=True)
        except notebooks.NotebookFailed as failure:
            return _stopped(failure, output)
    return 0


def _stopped(failure, output: Path) -> int:
    from . import notebooks

    print("failed")
    print(f"{failure}\nWhat ran is in {notebooks.write_html(output)}", file=sys.stderr)
    return 1


def test(args) -> int:
    """Run ruff, then pytest: the unit tests, and nbval over the notebooks."""
    import pytest

    os.chdir(ROOT)
    failed = []
    for check in ("check", "format --check"):
        print(f"ruff {check}", flush=True)
        if subprocess.call([sys.executable, "-m", "ruff", *check.split()]):
            failed.append(f"ruff {check}")
    options = [
        "--numprocesses=2",
        "--dist=loadscope",  # a notebook is one worker's: its cells need each other
        "--nbval",
        "--nbval-current-env",
        "--nbval-sanitize-with=tests/nbval_sanitize.cfg",
    ]
    code = pytest.main([*options, "tests", "notebooks"])
    for name in failed:
        print(f"{name} failed: see the top", file=sys.stderr)
    return int(bool(failed or code))


def lab(args) -> int:
    """Open JupyterLab on the notebooks, on localhost, with its token and any option of its own."""
    from jupyterlab.labapp import LabApp

    LabApp.launch_instance(["--ServerApp.ip=127.0.0.1", str(ROOT / "notebooks"), *args.args_of_lab])
    return 0


def measure_atlas(args) -> int:
    """Measure the peak atlas anew from the RRUFF archive, into data/, and say how good it is."""
    from . import atlas, atlas_quality

    print(atlas.build(args.data))
    print(atlas_quality.assess(args.data).to_string(index=False))
    return 0


def write_manifest(args) -> int:
    """Write the manifest of the archive's spectra anew, into data/."""
    from . import rruff

    rruff.write_manifest(args.data)
    print(rruff.MANIFEST)
    return 0


def clean(args) -> int:
    """Remove build/ and the tools' caches; kept fits, downloaded archives and .venv stay."""
    for file in (ROOT / "data" / "cache").glob("*.npz"):  # archives as parsed
        file.unlink()
    for name in ("build", ".pytest_cache", ".ruff_cache", ".hypothesis"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for name in ("__pycache__", ".ipynb_checkpoints"):
        for folder in ("fmcnn_utils", "tests", "notebooks", "benchmarks"):
            shutil.rmtree(ROOT / folder / name, ignore_errors=True)
    return 0


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line as ``command``, its ``run`` function and what that one takes."""
    parser = argparse.ArgumentParser(
        prog="python -m fmcnn_utils", description="Run the notebooks of the FMCNN companion."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name, function):
        text = function.__doc__
        added = commands.add_parser(name, help=text[0].lower() + text[1:], description=text)
        added.set_defaults(run=function)
        return added

    def takes_parameters(added, **data):
        added.add_argument("--data", metavar="SOURCE", **data)
        added.add_argument(
            "-p",
            dest="parameter",
            nargs=2,
            action="append",
            default=[],
            metavar=("NAME", "VALUE"),
            help="a parameter of a notebook (may be given more than once)",
        )

    def takes_jobs(added):
        added.add_argument(
            "--jobs", metavar="N", type=_count, default=2, help="processes to fit with (default: 2)"
        )

    def takes_scheduler(added):
        added.add_argument(
            "--scheduler",
            metavar="ADDRESS",
            help="of a Dask cluster to fit on, with workers of one thread each",
        )

    def takes_notebooks(added):
        added.add_argument(
            "notebooks", nargs="*", metavar="NOTEBOOK", help="only these, e.g. 03 (default: all)"
        )

    added = command("reproduce", reproduce)
    takes_notebooks(added)
    takes_parameters(added, help="atlas (default), rruff, or the path of an archive")
    command("test", test)
    command("lab", lab)
    added = command("paper", paper)
    takes_notebooks(added)
    takes_parameters(added, default="rruff", help="rruff (default), or the path of an archive")
    added.add_argument(
        "--repeats",
        metavar="N",
        type=int,
        choices=range(1, 11),
        default=10,
        help="of the cross-validations, 1 to 10 (default: 10, the paper's)",
    )
    takes_jobs(added)
    takes_scheduler(added)
    added = command("sweep", sweep)
    # argparse's own puts NOTEBOOK behind -p, which would take it for a value.
    added.usage = "python -m fmcnn_utils sweep NOTEBOOK -p NAME VALUE ... [-p NAME VALUE ...]"
    added.add_argument("notebook", metavar="NOTEBOOK", help="e.g. 03")
    added.add_argument(
        "-p",
        dest="parameter",
        nargs="+",
        action="append",
        required=True,
        metavar=("NAME", "VALUE"),
        help="a parameter, and the values to try (may be given more than once)",
    )
    takes_notebooks(command("notebooks", refresh))
    for name, function in (("atlas", measure_atlas), ("manifest", write_manifest)):
        command(name, function).add_argument(
            "--data", required=True, metavar="PATH", help="an archive: a zip file or folder"
        )
    added = command("search", search_settings)
    added.add_argument(
        "models", nargs="*", metavar="MODEL", help="e.g. KNN SVM (default: all five)"
    )
    added.add_argument("--data", default="rruff", metavar="SOURCE", help="as for paper")
    takes_jobs(added)
    takes_scheduler(added)
    command("clean", clean)
    args, args_of_lab = parser.parse_known_args(argv)
    if args_of_lab and args.command != "lab":
        parser.error(f"unrecognized arguments: {' '.join(args_of_lab)}")
    return argparse.Namespace(**vars(args), args_of_lab=args_of_lab)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code.

    A ``Problem``, and what the system refuses, is said in one sentence. Any other exception is a
    fault of the code, and shows its traceback.
    """
    args = parse(argv)
    try:
        return args.run(args)
    except (Problem, FileNotFoundError, PermissionError, ConnectionError) as problem:
        print(problem, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
