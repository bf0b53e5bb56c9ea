"""The commands: ``python -m fmcnn_utils COMMAND``, or the Makefile's target of the same name."""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
from pathlib import Path

import pandas as pd

from . import data, results
from .data.reader import BASELINES
from .results import ROOT, UserError, in_a_sentence

BUILD = ROOT / "build"


def notebooks(args) -> int | None:
    """Execute the committed notebooks at their defaults, in place."""
    from . import notebooks

    for path in notebooks.find(args.notebooks):
        if _minutes(notebooks.refresh, path, BUILD / "notebooks" / path.name) is None:
            return 1


def reproduce(args) -> int | None:
    """Run the notebooks, quick profile, on the embedded data: build/reproduce/index.html."""
    from . import notebooks

    given = dict(args.parameter) | ({"DATA": args.data} if args.data else {})
    values = notebooks.assign(notebooks.find(args.notebooks), given)
    folder, minutes = BUILD / "reproduce", {}
    shutil.rmtree(folder, ignore_errors=True)  # an old run must not pass for this one
    for path, own in values.items():
        output = folder / path.name
        minutes[path.stem] = _minutes(notebooks.execute, path, output, own)
        if minutes[path.stem] is None:
            return 1
        if numbers := notebooks.numbers(output):
            print(pd.DataFrame(numbers).to_string(index=False), flush=True)
    used = {name: value for own in values.values() for name, value in own.items()}
    source = used.pop("DATA", "atlas")
    source = data.peaks.SOURCE if source == "atlas" else f"RRUFF, {source}"
    said = ", ".join(f"{name} = {value}" for name, value in used.items())
    intro = f"Spectra of this run: {source}. {said or 'All else as committed.'}"
    executed = [folder / path.name for path in values]
    print(f"\n{intro}\nTo read: {notebooks.make_pages(folder, executed, intro, minutes)}")


def _minutes(run, path: Path, output: Path, *values) -> float | None:
    """The minutes that a notebook takes, printed; None if it fails, and a page of what ran."""
    from . import notebooks

    print(f"{path.stem} ...", end=" ", flush=True)
    try:
        minutes = run(path, output, *values)
    except notebooks.NotebookFailed as failure:
        print(f"failed\n{failure}", file=sys.stderr)
        notebooks.make_pages(output.parent, [output], f"**This run stopped.** {failure}", {})
        page = output.parent / "notebooks" / f"{output.stem}.html"
        print(f"What ran is in {page}", file=sys.stderr)
        return None
    print(f"{minutes:.1f} min", flush=True)
    return minutes


def site(args) -> None:
    """Make pages of the committed notebooks, the README and the package: build/site/index.html."""
    from . import notebooks

    shutil.rmtree(BUILD / "site", ignore_errors=True)
    intro = f"Spectra of the notebooks: {data.peaks.SOURCE}."
    print(f"To read: {notebooks.make_pages(BUILD / 'site', notebooks.find(), intro)}")


def sweep(args) -> int:
    """Run a notebook for many values of its parameters: build/sweep/NAME.

    They stand in a YAML file (see notebooks/sweeps), or behind -p. It may be stopped at any time:
    the next run goes on where it was.
    """
    from . import notebooks, sweep

    texts = {name: values for name, *values in args.parameter}
    if len(texts) < len(args.parameter) or not all(texts.values()):
        raise UserError("each -p takes a name, once, and the values to try, e.g. -p SEED 0 1 2")
    given = {"DATA": args.data} if args.data else {}
    if args.sweep.endswith((".yaml", ".yml")):
        if texts:
            raise UserError(f"-p is for a notebook: write the values into {args.sweep}")
        plan = sweep.read(Path(args.sweep), given)
    else:
        combinations = itertools.product(*texts.values())
        runs = [given | dict(zip(texts, values, strict=True)) for values in combinations]
        plan = sweep.build(args.sweep, runs)
    folder = BUILD / "sweep" / plan.name
    table = sweep.run(plan, folder, args.jobs, args.scheduler)
    print(f"Numbers: {folder / 'numbers.csv'}", flush=True)
    if (failed := table["error"].notna().sum()) == len(plan.runs):
        print("No run ended well, so there is nothing to draw.", file=sys.stderr)
        return 1
    summary = sweep.summarise(plan, folder)
    for name in ("sweep.yaml", "numbers.csv") if args.keep else ():
        kept = ROOT / "results" / "sweeps" / plan.name / name
        results.write_text(kept, (folder / name).read_text(encoding="utf-8"))
    executed = [summary, *sorted(folder.glob("run-*.ipynb"))]
    print(f"To read: {notebooks.sweep_pages(folder / 'pages', plan.title, executed)}")
    return int(failed > 0)


def identify(args) -> int:
    """Name the mineral of each spectrum: five likeliest, how sure, and what else it could be.

    Files are two columns of text, Raman shift in cm⁻¹ and intensity, in any sane form, or of a
    maker of spectrometers. One that cannot be read is told, and does not stop the rest.
    """
    from . import identify

    if not args.files and not args.peaks:
        raise UserError("give the files of spectra, or --peaks with positions in cm⁻¹")
    library = identify.kept_reference().library
    if args.library:
        library = identify.own_library(args.library, library)
    if args.peaks:
        found = identify.by_peaks(args.peaks, library).head(args.top)
        print(found.round(3).to_string(index=False))
        return 0
    options = {"top": args.top, "baseline": args.baseline, "laser": args.laser}
    failed = identify.run(args.files, library, args.csv, args.html, **options)
    return int(failed == len(args.files))


def score(args) -> None:
    """Score your model's predictions, a CSV, beside the models of the protocol.

    Columns: file, predicted, and repeat if there is more than one. Which files train and which test
    is in results/rruff/splits_specimen.csv.gz and splits_random.csv.gz.
    """
    from .evaluation import benchmark

    print(benchmark(args.predictions, args.name, args.split).to_string())


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``run`` is the command's function."""
    about = "Run the notebooks of the FMCNN companion."
    parser = argparse.ArgumentParser(prog="python -m fmcnn_utils", description=about)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    of = {}
    for run in (notebooks, reproduce, identify, score, sweep, site):
        name, text = run.__name__, run.__doc__
        of[name] = commands.add_parser(name, help=text.splitlines()[0], description=text)
        of[name].set_defaults(run=run)
    pair = {"dest": "parameter", "action": "append", "default": [], "metavar": ("NAME", "VALUE")}
    for name in ("reproduce", "notebooks"):
        add = of[name].add_argument
        add("notebooks", nargs="*", metavar="NOTEBOOK", help="only these, e.g. 03 (default: all)")
    add = of["reproduce"].add_argument
    add("--data", help="atlas (default), rruff, or a path")
    add("-p", nargs=2, help="a parameter of a notebook; may be repeated", **pair)
    # argparse's own usage puts NOTEBOOK behind -p, which would take it for a value.
    use = "python -m fmcnn_utils sweep {} [--data DATA] [--jobs JOBS] [--scheduler SCHEDULER]"
    texts = "FILE.yaml", "NOTEBOOK -p NAME VALUE ... [-p ...]"
    of["sweep"].usage = "\n       ".join(map(use.format, texts))
    add = of["sweep"].add_argument
    add("sweep", metavar="FILE or NOTEBOOK", help="e.g. 03")
    add("-p", nargs="+", help="values to try", **pair)
    add("--data", help="atlas, rruff, or a path, for all runs")
    text = "write its numbers into results/sweeps, too: notebook 07 reads them"
    add("--keep", action="store_true", help=text)
    add("--jobs", type=_count, default=2, help="processes (default: 2)")
    add("--scheduler", help="address of a Dask cluster to run on")
    add = of["score"].add_argument
    add("predictions", metavar="FILE.csv")
    add("--split", choices=("specimen", "random"), default="specimen")
    add("--name", default="yours", help="of the model, in the table")
    add = of["identify"].add_argument
    add("files", nargs="*", metavar="FILE", help="a spectrum; hundreds are fine")
    add("--csv", type=Path, help="write a row per file and rank")
    add("--html", type=Path, help="write a page with pictures")
    add("--top", type=_count, default=5, help="how many minerals (default: 5)")
    text = "background: auto (default) takes it away where it is needed"
    add("--baseline", choices=BASELINES, default="auto", help=text)
    add("--laser", type=float, help="wavelength in nm, if the file lacks it")
    add("--library", metavar="FOLDER", help="your own labelled spectra, too")
    add("--peaks", type=_numbers, help="in place of files: 464,206,355")
    return parser.parse_args(argv)


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.replace(";", ",").strip(",").split(",")]


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = parse(argv)
    return args.run(args) or 0


if __name__ == "__main__":
    in_a_sentence(main)
