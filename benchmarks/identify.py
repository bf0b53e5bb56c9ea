"""How long identify takes: the first spectrum, one spectrum after start, and many from files.

    OMP_NUM_THREADS=1 python benchmarks/identify.py

Spectra are rebuilt from the atlas, with noise and a background, and written to text files. All run
on one core where the system lets a process choose one. Printed are seconds, and spectra a second.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from fmcnn_utils import data, identify
from fmcnn_utils.identify import pages


def main():
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    atlas, random = data.load("atlas"), np.random.default_rng(0)
    rows = random.choice(len(atlas), 300, replace=False)
    background = np.exp(-(((data.GRID - 900) / 500) ** 2))
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for row in rows:
            y = atlas.X[row] / atlas.X[row].max() + background
            y = y + 0.005 * random.normal(size=len(y))
            files.append(Path(folder) / f"{row}.txt")
            np.savetxt(files[-1], np.column_stack([data.GRID, y]), fmt="%.4f", delimiter=",")
        start = time.perf_counter()
        identify.kept_reference()
        print(f"start (network and library): {time.perf_counter() - start:.1f} s")
        for what in ("first", "second", "third"):
            start = time.perf_counter()
            str(identify.identify(files[0]))
            print(f"{what} spectrum: {time.perf_counter() - start:.2f} s")
        start = time.perf_counter()
        identify.identify(files[1])._repr_html_()
        print(f"one with its picture: {time.perf_counter() - start:.2f} s")
        library = identify.kept_reference().library
        start = time.perf_counter()
        found = list(pages._answers(files, 5, "auto", None, library))
        seconds = time.perf_counter() - start
        print(f"{len(files)} files: {seconds:.1f} s, {len(files) / seconds:.0f} a second")
        right = [one.table["mineral"][0] for _, one in found] == atlas.minerals[rows]
        print(f"right: {np.mean(right):.3f}")


if __name__ == "__main__":
    main()
