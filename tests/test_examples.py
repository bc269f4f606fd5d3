"""Every example runs as it stands, offline."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@functools.cache
def run_example(path: Path) -> subprocess.CompletedProcess[str]:
    """Run an example, once for all tests."""
    return subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, check=False)


def test_there_are_examples() -> None:
    """The folder has examples."""
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_runs(example: Path) -> None:
    """An example ends by itself without an error, and prints something."""
    done = run_example(example)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_first_one_is_right() -> None:
    """The first example for newcomers, on the embedded model, prints the right answer."""
    done = run_example(EXAMPLES[0].with_name("hello.py"))

    assert "Paris" in done.stdout
