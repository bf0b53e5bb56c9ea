"""The lock, pyproject.toml, environment.yml and the Makefile agree; imports go downward only."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from importlinter.cli import lint_imports
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fmcnn_utils.results import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
#: sys_platform, platform_system, platform_machine, os_name
PLATFORMS = {
    "linux": ("linux", "Linux", "x86_64", "posix"),
    "linux-arm": ("linux", "Linux", "aarch64", "posix"),
    "mac": ("darwin", "Darwin", "arm64", "posix"),
    "windows": ("win32", "Windows", "AMD64", "nt"),
}


def that_apply(lines, environment) -> list[Requirement]:
    """The requirements among ``lines`` that are for this Python and platform."""
    found = [Requirement(line.split("--hash")[0]) for line in lines]
    return [r for r in found if r.marker is None or r.marker.evaluate(environment)]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_lock_satisfies_pyproject(python, platform):
    names = ("sys_platform", "platform_system", "platform_machine", "os_name")
    environment = dict(zip(names, PLATFORMS[platform], strict=True))
    environment |= {"python_version": python, "python_full_version": f"{python}.1"}
    environment |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    locked = that_apply(LOCK.splitlines(), environment)
    versions = {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in locked}
    assert len(versions) == len(locked), "a package is locked twice"
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + extras["test"] + extras["cpu"] + extras["classroom"]
    for requirement in that_apply(wanted, environment):
        version = versions[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, f"{requirement} has {version} in the lock"
    # One of the two builds, the small one where there is one, and nothing of CUDA.
    build = "tensorflow-cpu" if platform in ("linux", "windows") else "tensorflow"
    assert {"tensorflow", "tensorflow-cpu"} & set(versions) == {build}
    assert not [name for name in versions if name.startswith("nvidia-")]


def test_each_locked_package_has_a_version_and_hashes():
    for line in LOCK.splitlines():
        assert re.match(r"[\w.-]+==[\w.]+ .*--hash=sha256:[0-9a-f]{64}", line), line


def test_conda_and_binder_take_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, packages = environment["dependencies"]
    assert python.removeprefix("python=") in PYTHONS
    assert pip == "pip"
    # Nothing else: a second place for a version is a place for another version.
    assert packages == {"pip": ["-r requirements.lock"]}


def test_container_takes_the_lock_as_a_user_of_its_own():
    lines = (ROOT / ".devcontainer" / "Dockerfile").read_text(encoding="utf-8")
    (base,) = re.findall(r"^FROM python:(\d+\.\d+)\.\d+-slim-\w+$", lines, re.M)
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert f"python={base}" in environment["dependencies"], "Docker and conda differ"
    assert re.findall(r"^USER (\w+)$", lines, re.M) == ["1000"]
    installs = re.findall(r"pip install (.*)", lines)
    assert [line.split("--no-cache-dir ")[1] for line in installs] == [
        "--require-hashes -r requirements.lock",
        "--no-deps --no-build-isolation -e .",
    ]
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert container["remoteUser"] == "student"
    assert container["postCreateCommand"] == "pip install --no-deps --no-build-isolation -e ."


def test_workflow_runs_the_two_commands_on_each_python():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == PYTHONS
    runs = [step["run"].split(" PYTHON")[0] for step in job["steps"] if "run" in step]
    assert runs == ["make reproduce", "make test"]


@pytest.fixture
def make(tmp_path):
    """Runs make in a folder with what the environment is made from, and no environment."""
    if not shutil.which("make"):
        pytest.skip("needs make")
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)

    def run(*arguments, **variables):
        env = {"PATH": os.environ["PATH"], **variables}  # nothing of the make that runs this test
        how = {"cwd": tmp_path, "env": env, "capture_output": True, "text": True}
        return subprocess.run(["make", *arguments], **how)

    return run


@pytest.mark.parametrize("minor", [9, 14])
def test_unsupported_python_gets_a_sentence_before_anything_is_made(make, minor, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.version_info = (3, {minor}, 0)")
    done = make("reproduce", f"PYTHON={sys.executable}", PYTHONPATH=str(tmp_path))
    assert done.returncode
    sentence, *_ = done.stderr.splitlines()
    assert sentence.startswith(f"This is Python 3.{minor}, and the locked packages are")
    assert "PYTHON=python3.12" in sentence
    assert not (tmp_path / ".venv").exists()
    assert PROJECT["requires-python"] == ">=3.10,<3.14"


def test_environment_is_made_once_and_again_when_it_has_to_be(make, tmp_path):
    python = tmp_path / "python3.12"  # makes an environment of itself, and downloads nothing
    python.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        '*venv*) rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python;;\n'
        "*require-hashes*) test ! -e no-network;;\nesac\n"
    )
    python.chmod(0o755)
    other = shutil.copy(python, tmp_path / "python3.13")
    stamp, lock = tmp_path / ".venv" / "made-for.txt", tmp_path / "requirements.lock"

    def is_made(*arguments):
        done = make("test", *arguments)
        assert done.returncode == 0, done.stderr
        return "--require-hashes" in done.stdout

    (tmp_path / "no-network").touch()
    assert make("test", f"PYTHON={python}").returncode
    assert (tmp_path / ".venv").exists()
    (tmp_path / "no-network").unlink()
    assert is_made(f"PYTHON={python}"), "what was cut short is made again"
    assert not is_made(f"PYTHON={python}")
    assert not is_made(), "the Python is remembered"
    assert is_made(f"PYTHON={other}")
    lock.write_text("numpy==2.2.7")
    assert is_made(), "another lock"
    stamp.write_text(f"{other} /elsewhere")
    assert is_made(), "the folder was moved"


def test_every_target_of_the_makefile_is_listed_and_runs_something(make):
    targets = re.search(r"\.PHONY: (help.*)", (ROOT / "Makefile").read_text())[1].split()
    listed = [line.split()[1] for line in make("help").stdout.splitlines()]
    assert sorted(listed) == sorted(targets)
    for target in targets:
        assert make("-n", target, "DATA=a b.zip", "FILE=a b.yaml").returncode == 0
    assert 'sweep "a b.yaml"' in make("-n", "sweep", "FILE=a b.yaml").stdout
    assert '--data "a b.zip"' in make("-n", "search", "DATA=a b.zip", "JOBS=3").stdout


def test_imports_go_downward_only():
    assert lint_imports(str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True) == 0


def test_tensorflow_starts_only_when_it_is_asked_for():
    package = ROOT / "fmcnn_utils"
    files = [path.relative_to(ROOT).with_suffix("") for path in package.rglob("*.py")]
    names = [".".join(file.parts).removesuffix(".__init__") for file in files]
    names.remove("fmcnn_utils.models.fmcnn")
    code = "import sys; print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    command = [sys.executable, "-c", f"import {', '.join(names)}; {code}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
