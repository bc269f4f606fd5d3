"""Processes killed during their runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROUNDS = 60 if os.environ.get("CI") else 20


def test_every_run_resumes_and_nothing_is_done_twice(tmp_path: Path) -> None:
    """Every run resumes after kill -9 at a random moment, and no call is repeated: see `tests.killing`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.killing", str(tmp_path), str(ROUNDS), "7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout)
    assert summary["rounds"] == ROUNDS
    # Proof of random moments: some runs had finished, others were cut off with calls done.
    assert min(summary["done"], summary["resumed"], summary["recorded"]) > 0, summary
