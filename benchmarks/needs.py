"""What each notebook and each solved exercise needs: results/needs.csv, for docs/teaching.md.

    python benchmarks/needs.py

A kernel at a time; ``seconds`` from top to bottom, ``megabytes`` its memory at its highest.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
from nbclient import NotebookClient

from fmcnn_utils.results import ROOT, write_text


def measure(path: Path) -> tuple[float, float]:
    start = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, resources=where).execute()
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return round(time.perf_counter() - start), round(used)


if __name__ == "__main__":
    if sys.argv[1:]:  # a process for each, whose children's memory is its own
        print(*measure(Path(sys.argv[1])))
    else:
        rows = []
        folder = ROOT / "notebooks"
        for path in [
            *sorted(folder.glob("[0-9]*.ipynb")),
            *sorted(folder.glob("exercises/*/*/*.ipynb")),
        ]:
            command = [sys.executable, __file__, str(path)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            rows.append([path.stem, *map(float, out.split())])
            print(*rows[-1])
        table = pd.DataFrame(rows, columns=["notebook", "seconds", "megabytes"])
        write_text(ROOT / "results" / "needs.csv", table.to_csv(index=False, lineterminator="\n"))
