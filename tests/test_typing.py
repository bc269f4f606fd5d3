"""Type checkers know the output type of an agent: mypy and pyright check the files in `typing/`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TYPING = ROOT / "tests" / "typing"
WRONG = """
from typing import assert_type
from agno_rt import Agent, run
class Trip: ...
assert_type(run(Agent("m:x", output=Trip), "hi").output, int)
"""

Checker = Callable[[Path], subprocess.CompletedProcess[str]]


def mypy(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run mypy with the repository's settings."""
    return _run_checker("-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(folder))


def pyright(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run pyright with the settings in the folder. Its wheel brings node along."""
    return _run_checker("-m", "basedpyright", "--project", str(folder), "--pythonpath", sys.executable)


def _run_checker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_checkers_know_the_output_of_an_agent(checker: Checker) -> None:
    """Both checkers accept `typing/outputs.py` and find each mistake in `typing/mistakes.py`."""
    done = checker(TYPING)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_checkers_are_asked(checker: Checker, tmp_path: Path) -> None:
    """A false assertion is an error, so that the test above can fail."""
    shutil.copy(TYPING / "pyrightconfig.json", tmp_path)
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")

    done = checker(tmp_path)

    assert done.returncode == 1
    assert "Trip" in done.stdout
