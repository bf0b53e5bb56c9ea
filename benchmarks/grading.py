"""How long a class of thirty takes to grade: results/grading.csv.

    python benchmarks/grading.py 02_fire_module 09_confusions

Ten students hand in the reference solution, ten the untouched release, ten a wrong answer of
``tests/wrong_answers.yaml``. Memory is that of one kernel: ``results/needs.csv``.
"""

import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from fmcnn_utils.results import ROOT, write_text

sys.path += [str(ROOT), str(ROOT / "tests")]
from test_exercises import WRONG, marks, read, solved, submit

from scripts.classroom import lay_out, nbgrader

if __name__ == "__main__":
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder)
        lay_out(course)
        for name in sys.argv[1:]:
            work = solved(course, name), read(course, "release", name)
            for k in range(30):
                wrong = solved(course, name, WRONG[name][k % 3]["answers"])
                submit(course, f"student-{k:02}", name, (*work, wrong)[k % 3])
            start = time.perf_counter()
            nbgrader(course, "autograde", name)
            graded = time.perf_counter()
            nbgrader(course, "generate_feedback", name)
            minutes = [(graded - start) / 60, (time.perf_counter() - graded) / 60]
            students = len(marks(course, name))
            rows.append([name, students, *(round(m, 1) for m in minutes)])
            print(*rows[-1], flush=True)
    columns = ["exercise", "students", "minutes_grading", "minutes_feedback"]
    table = pd.DataFrame(rows, columns=columns)
    write_text(ROOT / "results" / "grading.csv", table.to_csv(index=False, lineterminator="\n"))
