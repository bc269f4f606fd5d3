"""The distributions: what their metadata says, and that their wheels do the main job on each Python that is here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECTS = sorted(path for path in [ROOT, *(ROOT / "plugins").iterdir()] if (path / "pyproject.toml").exists())
SHIPPED = [path for path in PROJECTS if path.name != "agno-rt-template"]
PYTHONS = ("3.11", "3.12", "3.13")
SECONDS = 300

AGENT = """
from agno_rt import Agent
from agno_rt.testing import ScriptedModel

hello = Agent(ScriptedModel(["Hello!"]), "hello")
"""


def metadata(project: Path) -> dict[str, Any]:
    """The table [project] of a distribution."""
    found: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


@pytest.mark.parametrize("project", SHIPPED, ids=lambda path: path.name)
def test_distributions_say_the_same_of_themselves(project: Path) -> None:
    """Author, licence, version, Pythons and classifiers are those of the kernel; the licence's text is there."""
    kernel, found = metadata(ROOT), metadata(project)
    shared = ("version", "authors", "license", "license-files", "classifiers", "requires-python")

    assert {key: found.get(key) for key in shared} == {key: kernel[key] for key in shared}
    assert (project / "LICENSE").read_text(encoding="utf-8") == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert found["readme"] == "README.md"
    assert found["keywords"]


@pytest.mark.parametrize("project", [path for path in PROJECTS if path != ROOT], ids=lambda path: path.name)
def test_plugins_bound_the_kernel(project: Path) -> None:
    """A kernel with another interface is not installed beside a plugin."""
    version = metadata(ROOT)["version"]

    assert f"agno-rt~={version}" in metadata(project)["dependencies"]


def test_the_extra_all_brings_every_plugin() -> None:
    """`agno-rt[all]` has each plugin that ships, and the kernel's own extras."""
    extras = metadata(ROOT)["optional-dependencies"]
    names = {requirement.partition("~")[0] for requirement in extras["all"]}

    assert names == {path.name for path in SHIPPED if path != ROOT} | {"agno-rt[process,profile]"}
    assert extras.keys() == {"all", "process", "profile"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every shipped distribution as a wheel."""
    folder = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*build, *map(str, SHIPPED)], check=True, timeout=SECONDS)
    return folder


def test_wheels_have_types_and_a_licence(wheels: Path) -> None:
    """Each wheel says that it is typed, and carries the licence's text; none carries tests."""
    for path in wheels.glob("*.whl"):
        names = zipfile.ZipFile(path).namelist()

        assert any(name.endswith("/py.typed") for name in names), path.name
        assert any(name.endswith("licenses/LICENSE") for name in names), path.name
        assert not any(name.startswith("tests/") for name in names), path.name
    assert len(list(wheels.glob("*.whl"))) == len(SHIPPED)


@pytest.mark.parametrize("version", PYTHONS)
def test_wheels_do_the_main_job(version: str, wheels: Path, tmp_path: Path) -> None:
    """In a fresh environment, `agno-rt[all]` from the wheels runs an agent, and every plugin loads."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"Python {version} is not here: put python{version} on the PATH")
    subprocess.run([*python, "-m", "venv", tmp_path / "env"], check=True, timeout=SECONDS, env=plain())
    pip: list[str | Path] = [
        tmp_path / "env/bin/python",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
    ]
    pip += ["--find-links", wheels, "--constraint", ROOT / "constraints.txt", "--prefer-binary"]
    subprocess.run([*pip, "agno-rt[all]"], check=True, timeout=SECONDS, env=plain())
    (tmp_path / "agents.py").write_text(AGENT, encoding="utf-8")

    def agno(*args: str) -> str:
        command: list[str | Path] = [tmp_path / "env/bin/agno-rt", *args]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, cwd=tmp_path, env=plain(), check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert agno("run", "agents.py", "hi") == "Hello!\n"
    listed = agno("plugins")
    assert all(project.name.removeprefix("agno-rt-") in listed for project in SHIPPED if project != ROOT)
    assert "failed" not in listed.lower()


def find_python(version: str) -> list[str] | None:
    """The command of a Python of that version, if there is one: on the PATH, or among pyenv's."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *map(str, _pyenv_folders(version))]
    for folder in folders:
        found = shutil.which(f"python{version}", path=folder)
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return [found]
    return None


def _pyenv_folders(version: str) -> list[Path]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return sorted(root.glob(f"versions/{version}.*/bin"))


def plain() -> dict[str, str]:
    """The environment without what belongs to the one that the tests run in."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AGNO_RT", "PYTHON", "VIRTUAL"))}
