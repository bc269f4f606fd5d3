"""A tiny project with benchmarks and a history, measured by the real asv in a moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from importlib.metadata import PackagePath, distribution
from pathlib import Path

import attrs

ROOT = Path(__file__).parent.parent

_BENCHMARKS = '''
"""Adding up: what a sum costs."""


def exact(unit):
    def mark(function):
        function.unit = unit
        return function
    return mark


class Sums:
    """A sum of so many numbers."""

    params = ((10, 1000),)
    param_names = ("numbers",)
    number = repeat = rounds = min_run_count = 1
    warmup_time = 0

    def time_sum(self, numbers):
        """One sum."""
        sum(range(numbers))

    def track_ratio_to_len(self, numbers):
        """A sum, against a length."""
        return 1.23456 + numbers / 1000

    track_ratio_to_len.unit = "x"

    @exact("calls")
    def track_calls(self, numbers):
        """The calls that a sum makes."""
        import tiny

        return tiny.CALLS * 12345 + numbers
'''

# A build backend inside the project, so that nothing is fetched: the backend packs one module.
_BACKEND = """
import zipfile
{trouble}
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(directory + "/" + name, "w") as wheel:
        wheel.write("tiny.py")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return name
"""
_PYPROJECT = """
[project]
name = "tiny"
version = "1.0"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


@attrs.define
class Tiny:
    """The folder and the commits of the project, oldest first. The first is tagged v1, the second does not build."""

    root: Path
    commits: list[str]

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m benchmarks.COMMAND` on the project, without a network and with its own home folder."""
        asked = [sys.executable, "-m", f"benchmarks.{command}", "--project", str(self.root), *arguments]
        return subprocess.run(
            asked, cwd=ROOT, env=self.environ(), capture_output=True, text=True, check=False, timeout=300
        )

    def environ(self) -> dict[str, str]:
        """Return the environment variables for subprocesses of the project."""
        wheels = self.root.parent / "wheels"
        return {**os.environ, "HOME": str(self.root.parent), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}

    def git(self, *arguments: str) -> str:
        """Run git in the project and return the output."""
        identity = ("-c", "user.name=Tiny", "-c", "user.email=tiny@example.com", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.root, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.strip()


def tiny_project(folder: Path) -> Tiny:
    """Make the project in the folder."""
    project = Tiny(folder / "project", [])
    (project.root / "benchmarks").mkdir(parents=True)
    settings = json.loads((ROOT / "asv.conf.json").read_text(encoding="utf-8"))
    settings |= {"project": "tiny", "matrix": {}}
    files = {
        "asv.conf.json": json.dumps(settings),
        "pyproject.toml": _PYPROJECT,
        "benchmarks/__init__.py": "",
        "benchmarks/sums.py": _BENCHMARKS,
        ".gitignore": ".asv\n__pycache__\nbuild\n*.egg-info\n",
    }
    for name, text in files.items():
        (project.root / name).write_text(text, encoding="utf-8")
    project.git("init", "--quiet", "--initial-branch=main")
    for calls, trouble, subject in (
        (2, "", "Two calls"),
        (2, "raise OSError('no')", "A <broken> build"),
        (1, "", "One call"),
    ):
        (project.root / "tiny.py").write_text(f"CALLS = {calls}\n", encoding="utf-8")
        (project.root / "backend.py").write_text(_BACKEND.format(trouble=trouble), encoding="utf-8")
        project.git("add", ".")
        project.git("commit", "--quiet", "-m", subject)
        project.commits.append(project.git("rev-parse", "HEAD"))
    project.git("tag", "-a", "v1", "-m", "The first", project.commits[0])
    (folder / "wheels").mkdir()
    for name in ("asv_runner", "importlib_metadata", "zipp"):
        _pack_wheel(folder / "wheels", name, distribution(name).version, distribution(name).files or ())
    for name in ("wheel", "build", "pympler"):
        _pack_wheel(folder / "wheels", name, "99.0", ())
    return project


def _pack_wheel(folder: Path, name: str, version: str, files: Iterable[PackagePath]) -> None:
    """Pack a wheel for asv to install: a copy of the package installed here, or an empty wheel."""
    facts = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for file in files:
            if file.suffix == ".py" and ".." not in file.parts:
                wheel.write(file.locate(), str(file))
        metadata = distribution(name).read_text("METADATA") if files else None
        made = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{facts}/METADATA", metadata or made)
        wheel.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{facts}/RECORD", "")
