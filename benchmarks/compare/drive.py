"""Try the same three things with each framework, and write the outcome into docs/comparison.md: `make compare`.

Each framework runs in processes of its own, in its own environment (`.asv/compare/NAME`), and writes a log. The
functions of `judge.py` read the logs only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.markers import replace_between
from benchmarks.peers.results import Results as Peers

from .judge import Log, report
from .typed import revealed

__all__ = ["main"]

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("results.json")
PAGE = ROOT / "docs/comparison.md"
NAMES = ("agno_rt", "agno", "pydantic_ai", "langgraph")
CANCELS = {
    "agno_rt": ("cancel", "cancel_thread"),
    "agno": ("cancel", "cancel_by_id"),
    "pydantic_ai": ("cancel", "cancel_by_token"),
    "langgraph": ("cancel",),
}
PATIENCE = 60.0


class Trial:
    """A framework's processes with their log, in a new folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        python = ROOT / ".asv/compare" / name / "bin/python"
        self.python = sys.executable if name == "agno_rt" else str(python)

    def start(self, step: str) -> subprocess.Popen[bytes]:
        """Start a process for the step."""
        return subprocess.Popen(
            [self.python, "-m", f"benchmarks.compare.{self.name}", step, str(self.folder)],
            cwd=ROOT,
            env={**os.environ, "AGNO_TELEMETRY": "false", "LANGSMITH_TRACING": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self, line: str, times: int = 1) -> None:
        """Wait until so many lines of the log begin with `line`."""
        until = time.monotonic() + PATIENCE
        while sum(text.startswith(line) for _, text in self.log()) < times:
            if time.monotonic() > until:
                raise TimeoutError(f"{self.name}: the log never said {line!r}: {self.log()}")
            time.sleep(0.02)

    def say(self, line: str) -> None:
        """Append a line of the driver's to the log."""
        with open(self.folder / "log", "ab", buffering=0) as log:
            log.write(f"{time.time():.3f} {line}\n".encode())

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Send SIGKILL to the process and its children, and log the kill."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.say("killed")

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of a process, and kill the process if it does not end."""
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill(process)

    def log(self) -> Log:
        """Return the lines so far, with seconds since the first."""
        path = self.folder / "log"
        lines = [line.partition(" ") for line in path.read_text().splitlines()] if path.exists() else []
        return [(round(float(at) - float(lines[0][0]), 1), text) for at, _, text in lines]


def try_cancel(trial: Trial, step: str) -> Log:
    """Cancel a run with tools in progress."""
    trial.finish(trial.start(step))
    return trial.log()


def try_kill(trial: Trial) -> Log:
    """Kill a run in the middle of a call, and go on in another process."""
    process = trial.start("begin")
    trial.wait("left called")
    trial.wait("right began")
    time.sleep(1)  # time for a framework to store the result of `left`
    trial.kill(process)
    trial.finish(trial.start("resume"))
    return trial.log()


def try_approve(trial: Trial, deciders: int) -> Log:
    """Kill a run that waits for approval; let `deciders` processes approve and go on at the same moment."""
    process = trial.start("ask")
    trial.wait("the run is")
    trial.kill(process)
    processes = [trial.start("decide") for _ in range(deciders)]
    trial.wait("ready", deciders)
    trial.say("go")
    for process in processes:
        trial.finish(process)
    return trial.log()


def _try_framework(name: str) -> dict[str, Log]:
    trials: dict[str, Callable[[Trial], Log]] = {step: partial(try_cancel, step=step) for step in CANCELS[name]}
    trials |= {
        "kill": try_kill,
        "approve": partial(try_approve, deciders=1),
        "approve_twice": partial(try_approve, deciders=2),
    }
    logs = {}
    for title, attempt in trials.items():
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name}: {title}", flush=True)
            logs[title] = attempt(Trial(name, Path(folder)))
    return logs


def _read_versions(name: str) -> dict[str, str]:
    wanted = {
        "agno_rt": ["agno-rt", "trio"],
        "agno": ["agno"],
        "pydantic_ai": ["pydantic-ai-slim", "dbos"],
        "langgraph": ["langgraph", "langchain", "langgraph-checkpoint-sqlite"],
    }[name]
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {wanted!r}}}))"
    python = Trial(name, Path()).python
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


def main(arguments: Sequence[str] | None = None) -> int:
    """Try each framework and write the page."""
    parser = argparse.ArgumentParser(prog="make compare", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these frameworks: {', '.join(NAMES)}")
    parser.add_argument("--no-run", action="store_true", help="only write the page from the results that are there")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"unknown framework {unknown.pop()!r}")
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"frameworks": {}}
    if not options.no_run:
        for name in options.names or NAMES:
            python = Trial(name, Path()).python
            results["frameworks"][name] = {
                "versions": _read_versions(name),
                "type": revealed(name, python),
                "logs": _try_framework(name),
            }
        results["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
        results["python"] = platform.python_version()
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if replace_between(PAGE, "trials", report(results, Peers.load())):
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
