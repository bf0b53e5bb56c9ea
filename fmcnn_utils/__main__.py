"""The door: ``python3 -m fmcnn_utils COMMAND``, on a machine with nothing but Python.

It makes ``.venv`` from ``requirements.lock`` if that is missing or out of date, and hands COMMAND
to ``fmcnn_utils.run`` inside it. Only the standard library, and no syntax newer than Python 3.6:
an unsupported Python is told so in a sentence. Whoever has an environment already (conda, Binder)
runs ``python -m fmcnn_utils.run COMMAND`` in it.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
#: Says what .venv was made from. Written last, so an interrupted install is made again.
STAMP = VENV / "made-from.txt"

OLDEST, NEWEST = (3, 10), (3, 13)


def unsupported(version):
    """What to tell somebody who runs this with Python ``version``, or None if it will do."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return None
    return (
        "This is Python {}.{}, and the locked packages are for 3.10 to 3.13: name one of those, "
        "e.g. `make reproduce PYTHON=python3.12`, or `python3.12 -m fmcnn_utils reproduce`."
    ).format(*version)


def expected_stamp():
    """What .venv has to be made from: this lock, for this Python, in this folder."""
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    return f"{lock}\nPython {sys.version_info[0]}.{sys.version_info[1]}\n{ROOT}\n"


def is_ready():
    """Whether .venv is complete and up to date."""
    return (
        VENV_PYTHON.exists()
        and STAMP.exists()
        and STAMP.read_text(encoding="utf-8") == expected_stamp()
    )


def step(command, sorry):
    """Run ``command``, showing its last line if somebody watches, its last lines if it fails."""
    lines = []
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=str(ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        errors="replace",
    )
    for line in process.stdout:
        lines.append(line)
        if sys.stdout.isatty():
            print("\r" + line.strip()[:78].ljust(78), end="", flush=True)
    if sys.stdout.isatty():
        print("\r" + " " * 78 + "\r", end="", flush=True)
    if process.wait():
        sys.exit("".join(lines[-12:]) + sorry)


def make_environment():
    """Make .venv anew from the lock, with this package in it."""
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            "This Python can't make virtual environments: on Debian or Ubuntu, "
            "`sudo apt install python3-venv`, and run the command again."
        )
    print(
        "Making .venv for Python {}.{} from requirements.lock: about 460 MB to download, "
        "a few minutes ...".format(*sys.version_info),
        flush=True,
    )
    # A venv's own Python can't clear the venv it runs from: ask the one that it was made with.
    python = getattr(sys, "_base_executable", sys.executable)
    pip = [VENV_PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    pip += ["install", "--progress-bar", "off"]
    step(
        [python, "-m", "venv", "--clear", VENV],
        "This Python could not make .venv: see above.",
    )
    step(
        [*pip, "--require-hashes", "-r", LOCK],
        "The locked packages could not be installed: see above, check the network, run it again.",
    )
    step(
        [*pip, "--no-deps", "--no-build-isolation", "-e", ROOT],
        "The package could not be installed into .venv: see above.",
    )
    STAMP.write_text(expected_stamp(), encoding="utf-8")


def main(argv):
    """Run COMMAND in .venv, made first if need be; returns its exit code."""
    problem = unsupported(sys.version_info)
    if problem:
        sys.exit(problem)
    from . import run  # not earlier: it may use what an old Python can't read

    arguments = run.parse(argv)  # a mistyped command should not wait for an install
    if arguments.command == "clean":
        return run.clean(arguments)
    if not is_ready():
        make_environment()
    child = subprocess.Popen([str(VENV_PYTHON), "-m", "fmcnn_utils.run", *argv])
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            pass  # the child has been told too, and ends in its own way


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\nStopped; run it again to go on.")
