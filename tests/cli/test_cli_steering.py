"""`agno-rt runs send` and `runs stop`: messages to runs of other processes, and their stops."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]
Started = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def _in_a_durable_project(durable: Path) -> None:
    """Use agents whose runs are stored."""


def only_run(agno: Agno) -> dict[str, Any]:
    """Return the only stored run."""
    [line] = agno("runs", "list", "--json").stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def list_kinds(agno: Agno, run: str) -> list[str]:
    """Return the kinds of the run's steps."""
    return [step["kind"] for step in json.loads(agno("runs", "show", run, "--json").stdout)["journal"]]


@pytest.mark.parametrize("options", [(), ("--end",)])
def test_a_run_of_another_process_takes_a_message(
    agno: Agno, under_way: Started, durable: Path, options: tuple[str, ...]
) -> None:
    """A message that comes while the last answer is written makes the run go on."""
    process = under_way()
    run = only_run(agno)["id"]

    done = agno("runs", "send", run[:6], "And hurry.", *options)
    (durable / "go").touch()
    process.communicate(timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"sent to {run}\n", "")
    assert process.returncode == 0
    assert list_kinds(agno, run) == [
        "begun",
        "answered",
        "started",
        "called",
        "answered",
        "received",
        "answered",
        "ended",
    ]
    assert "received: And hurry." in agno("runs", "show", run).stdout
    late = agno("runs", "send", run, "Late.")
    assert (late.returncode, late.stdout) == (1, "")
    assert "is completed" in late.stderr


def test_a_paused_run_says_when_it_reads(agno: Agno) -> None:
    """The command names the way on for a run that nobody carries out, and the resumed run has the message."""
    agno("run", "fetcher", "Go.")
    run = only_run(agno)["id"]
    done = agno("runs", "send", run, "And hurry.")

    assert (done.returncode, done.stdout) == (0, f"sent to {run}\n")
    assert done.stderr == f"The run reads the message when it is resumed: agno-rt runs resume {run}\n"


def test_a_run_of_another_process_stops(agno: Agno, under_way: Started, durable: Path) -> None:
    """A run whose model does not answer is cancelled after the grace time, and goes on when it is resumed."""
    process = under_way()
    run = only_run(agno)["id"]

    done = agno("runs", "stop", run, "--at", "model", "--grace", "0.1")
    _, errors = process.communicate(timeout=60)

    assert (done.returncode, done.stdout.split(":")[0]) == (0, f"stopping {run}")
    assert process.returncode == 130
    assert f"agno-rt runs resume {run}" in errors
    assert only_run(agno)["status"] == "cancelled"
    over = agno("runs", "stop", run)
    assert (over.returncode, over.stderr) == (1, f"Run {run} is over already: cancelled.\n")
    (durable / "go").touch()
    assert agno("runs", "resume", run).stdout == "Done: saw up\n"


def test_runs_that_nobody_carries_out(agno: Agno, under_way: Started) -> None:
    """A paused run is cancelled, and a run whose process is gone does not run."""
    agno("run", "fetcher", "Go.")
    run = only_run(agno)["id"]
    assert agno("runs", "stop", run).stdout == f"stopped {run}\n"
    agno("runs", "delete", run, "--yes")

    process = under_way()
    run = only_run(agno)["id"]
    process.kill()
    process.wait(60)
    assert agno("runs", "stop", run).stdout == f"{run} does not run: its process is gone\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("send", "nowhere", "x"), "unknown run 'nowhere'"),
        (("stop", "nowhere"), "unknown run 'nowhere'"),
        (("stop", "nowhere", "--at", "noon"), "Invalid value for '--at'"),
        (("stop", "nowhere", "--grace", "-1"), "Invalid value for '--grace'"),
    ],
)
def test_bad_input_is_named(agno: Agno, args: tuple[str, ...], said: str) -> None:
    """An impossible request is an error with a remedy, and exit code 2."""
    done = agno("runs", *args)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")
