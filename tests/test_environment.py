"""The lock, pyproject.toml, environment.yml and the door say the same."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fmcnn_utils import __main__ as door

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
PLATFORMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    "linux-arm": {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "aarch64",
    },
    "mac": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "platform_machine": "AMD64"},
}


def locked(environment) -> dict[str, str]:
    """Version of each package that the lock installs there."""
    versions = {}
    for line in LOCK.splitlines():
        requirement = Requirement(line.split("--hash")[0])
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in versions, f"{name} is locked twice"
            versions[name] = str(requirement.specifier).removeprefix("==")
    return versions


def wanted(environment):
    """What pyproject.toml asks for there, tests and the CPU's tensorflow included."""
    extras = PROJECT["optional-dependencies"]
    for text in PROJECT["dependencies"] + extras["test"] + extras["cpu"]:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield requirement


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_lock_satisfies_pyproject(python, platform):
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "nt" if platform == "windows" else "posix",
        **PLATFORMS[platform],
    }
    versions = locked(environment)
    for requirement in wanted(environment):
        version = versions[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, f"{requirement} has {version} in the lock"
    # One of the two builds, and neither of them the one with CUDA.
    assert len({"tensorflow", "tensorflow-cpu"} & set(versions)) == 1
    assert not [name for name in versions if name.startswith("nvidia-")]


def test_cpu_build_where_there_is_one():
    for platform in ("linux", "windows"):
        environment = {"python_version": "3.12", "python_full_version": "3.12.1"}
        assert "tensorflow-cpu" in locked(environment | PLATFORMS[platform])


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


def test_door_knows_the_pythons_of_the_project():
    versions = [(3, minor) for minor in range(6, 16)]
    accepted = [f"3.{minor}" for _, minor in versions if not door.unsupported((3, minor))]
    assert accepted == PYTHONS
    oldest, newest = PROJECT["requires-python"].split(",")
    assert oldest == f">={PYTHONS[0]}"
    assert newest == f"<3.{int(PYTHONS[-1].split('.')[1]) + 1}"


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 14, 0), (4, 0, 0)])
def test_unsupported_python_gets_one_sentence(version, monkeypatch):
    monkeypatch.setattr(door.sys, "version_info", version)
    with pytest.raises(SystemExit) as stopped:
        door.main(["reproduce"])
    said = stopped.value.code
    assert f"Python {version[0]}.{version[1]}" in said
    assert "PYTHON=python3.12" in said
    assert "\n" not in said


def test_python_without_venv_gets_one_sentence(monkeypatch):
    monkeypatch.setattr(door.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        door.make_environment()


def test_interrupted_or_outdated_environment_is_not_ready(monkeypatch, tmp_path):
    for name in ("VENV_PYTHON", "STAMP", "LOCK"):
        monkeypatch.setattr(door, name, tmp_path / name)
    door.LOCK.write_text("numpy==2.2.6")
    door.VENV_PYTHON.touch()
    assert not door.is_ready(), "the stamp comes last, so without it the install was cut short"
    door.STAMP.write_text(door.expected_stamp(), encoding="utf-8")
    assert door.is_ready()
    door.LOCK.write_text("numpy==2.2.7")
    assert not door.is_ready(), "made from another lock"


def test_mistyped_command_is_refused_before_the_install(monkeypatch, capsys):
    monkeypatch.setattr(door, "make_environment", lambda: pytest.fail("installs"))
    monkeypatch.setattr(door, "is_ready", lambda: False)
    with pytest.raises(SystemExit):
        door.main(["reprodcue"])
    assert "invalid choice: 'reprodcue'" in capsys.readouterr().err


def test_failed_step_shows_the_end_of_what_was_said(capsys):
    command = [sys.executable, "-c", "print('first'); print('reason'); raise SystemExit(3)"]
    with pytest.raises(SystemExit, match=r"reason\nIt did not work"):
        door.step(command, "It did not work.")
