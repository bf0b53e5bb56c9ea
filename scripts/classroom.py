"""A course folder for nbgrader, with all exercises released: make classroom [COURSE=folder].

    python scripts/classroom.py [--course build/classroom]

The folder gets ``source/`` (with solutions, for the teacher), ``release/`` (for the students),
``nbgrader_config.py`` and the marks' database, ``gradebook.db``. What is there already is kept:
submissions and marks stay, and only exercises that have changed are released anew.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from nbgrader.apps.api import NbGraderAPI
from traitlets.config import PyFileConfigLoader

from fmcnn_utils import results

EXERCISES = results.ROOT / "notebooks" / "exercises"

NEXT = """
{n} exercises are in {course}/release: give these folders to your students.
Then, in a terminal:

  {activate}
  cd {course}

  collect     put each student's file at submitted/STUDENT/{first}/{first}.ipynb
              (from a learning platform's zip file: nbgrader zip_collect {first})
  grade       nbgrader autograde {first}
  by hand     jupyter lab, and there in the menu Nbgrader, Formgrader: words and comments
  hand back   nbgrader generate_feedback {first} (pages in feedback/STUDENT)
  marks       nbgrader export --to marks.csv
"""


def lay_out(course: Path) -> list[str]:
    """Make or refresh the course folder.

    Args:
        course: the folder.

    Returns:
        Names of the exercises.

    Raises:
        UserError: if the folder holds something that is not a course, or nbgrader fails.
    """
    course = course.resolve()
    config = course / "nbgrader_config.py"
    if course.exists() and any(course.iterdir()) and not config.exists():
        raise results.UserError(f"{course} holds other files: name an empty or new folder")
    course.mkdir(parents=True, exist_ok=True)
    shutil.copy(EXERCISES / config.name, config)
    names = sorted(path.parent.name for path in EXERCISES.glob("source/*/*.ipynb"))
    settings = PyFileConfigLoader(config.name, path=str(course)).load_config()
    settings.CourseDirectory.root = str(course)
    api = NbGraderAPI(config=settings)  # one process for all: its start takes longer than the rest
    for name in names:
        source, kept = EXERCISES / "source" / name, course / "source" / name
        released = (course / "release" / name / f"{name}.ipynb").exists()
        if released and _content(source) == _content(kept):
            continue
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(source, kept, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
        with patch.dict(os.environ, PATH=_path()):
            done = api.generate_assignment(name, force=True)
        if not done["success"]:
            raise results.UserError(f"nbgrader cannot release {name}:\n{done['error']}")
    return names


def nbgrader(course: Path, *arguments: str) -> str:
    """Run an nbgrader command in a course folder, and give back what it says.

    Raises:
        UserError: with its last lines, if it fails.
    """
    command = [sys.executable, "-m", "nbgrader", *arguments]
    env = os.environ | {"PATH": _path()}
    done = subprocess.run(command, cwd=course, capture_output=True, text=True, env=env)
    if done.returncode:
        last = "\n".join(done.stderr.splitlines()[-12:])
        raise results.UserError(f"nbgrader {' '.join(arguments)} failed in {course}:\n{last}")
    return done.stderr


def _path() -> str:
    """With the environment's own programs: nbgrader calls alembic by its name."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def _content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("*") if p.is_file()}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--course", type=Path, default=results.ROOT / "build" / "classroom")
    args = parser.parse_args()
    names = lay_out(args.course)
    own = Path(sys.executable).parent
    activate = own / "activate" if os.name == "nt" else f"source {own / 'activate'}"
    print(
        NEXT.format(n=len(names), course=args.course.resolve(), first=names[0], activate=activate)
    )


if __name__ == "__main__":
    results.in_a_sentence(main)
