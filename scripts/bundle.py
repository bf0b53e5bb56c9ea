"""Everything for machines without internet, in one folder for a USB stick: make bundle.

    python scripts/bundle.py [--python 3.12 ...] [--platform linux mac windows]

``build/bundle`` gets the repository as it is committed, the locked packages as wheels for each
platform and Python, the pages, and ``INSTALL.txt``. About half a gigabyte for each platform.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from packaging.requirements import Requirement
from tqdm import tqdm

from fmcnn_utils import results

LINUX = [f"manylinux_2_{n}_x86_64" for n in (28, 27, 26, 24, 17, 12, 5)]
#: Of each platform: what markers see of it, and the tags of its wheels.
PLATFORMS = {
    "linux": (
        ("linux", "Linux", "x86_64", "posix"),
        [*LINUX, "manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"],
    ),
    "mac": (
        ("darwin", "Darwin", "arm64", "posix"),
        ["macosx_14_0_arm64", "macosx_14_0_universal2"],
    ),
    "windows": (("win32", "Windows", "AMD64", "nt"), ["win_amd64"]),
}
MARKERS = ("sys_platform", "platform_system", "platform_machine", "os_name")

INSTALL = """\
The companion, for a machine without internet. It needs one of these Pythons: {pythons}.
For: {platforms}. Copy this folder to the machine, open a terminal in it, and give these commands.

Linux and macOS                                Windows
  cd companion                                   cd companion
  python3 -m venv .venv                          py -m venv .venv
  source .venv/bin/activate                      .venv\\Scripts\\activate

Then, on each of them:
  pip install --no-index --find-links ../wheels --require-hashes -r requirements.lock
  pip install --no-index --no-deps --no-build-isolation -e .
  jupyter lab notebooks/00_start_here.ipynb

Pages to read without any of this: pages/index.html. For teachers: python scripts/classroom.py
"""


def requirements(platform: str, python: str) -> list[str]:
    """The lines of the lock that are for this platform and Python, with their hashes."""
    about = dict(zip(MARKERS, PLATFORMS[platform][0], strict=True))
    about |= {"python_version": python, "python_full_version": f"{python}.0"}
    about |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    text = (results.ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    kept = []
    for line in text.splitlines():
        requirement = Requirement(line.split("--hash")[0])
        if requirement.marker is None or requirement.marker.evaluate(about):
            # pip would ask the marker about this machine, and not about the other one
            kept.append(line.replace(f"; {line.split('--hash')[0].partition(';')[2].strip()}", ""))
    return kept


def download(platform: str, python: str, wheels: Path) -> None:
    """The wheels of one platform and Python.

    Raises:
        UserError: with what pip says, if one of them cannot be had.
    """
    lines = requirements(platform, python)
    tags = [part for tag in PLATFORMS[platform][1] for part in ("--platform", tag)]
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "requirements.txt"
        lock.write_text("\n".join(lines), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--implementation=cp", f"--python-version={python}"]
        command += [*tags, f"--dest={wheels}", "--require-hashes", f"--requirement={lock}"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise results.UserError(f"no wheels for {platform}, Python {python}: {' '.join(said)}")


def bundle(folder: Path, platforms: list[str], pythons: list[str]) -> None:
    """Fill the folder."""
    code = folder / "companion"
    shutil.rmtree(code, ignore_errors=True)
    archive = subprocess.run(
        ["git", "archive", "HEAD"], cwd=results.ROOT, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(code, filter="data")
    pages = results.ROOT / "build" / "site"
    shutil.rmtree(folder / "pages", ignore_errors=True)
    shutil.copytree(pages, folder / "pages")
    targets = [(platform, python) for platform in platforms for python in pythons]
    for platform, python in tqdm(targets, unit="platform"):
        download(platform, python, folder / "wheels")
    install = INSTALL.format(pythons=", ".join(pythons), platforms=", ".join(platforms))
    results.write_text(folder / "INSTALL.txt", install)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e9:.1f} GB; INSTALL.txt in it says how to go on")


def main() -> None:
    """Read the command line and run."""
    here = "{}.{}".format(*sys.version_info)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=results.ROOT / "build" / "bundle")
    parser.add_argument("--python", nargs="+", default=[here], help=f"default: {here}")
    parser.add_argument("--platform", nargs="+", choices=PLATFORMS, default=list(PLATFORMS))
    args = parser.parse_args()
    bundle(args.folder, args.platform, args.python)


if __name__ == "__main__":
    results.in_a_sentence(main)
