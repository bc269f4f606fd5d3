"""asv and git as processes: what they are asked, and what they say. Knows where things lie in the project's folder.

Nothing of asv is imported: benchmarks are found in environments that do not have it, and this package with them.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from agno_rt.errors import UsageError

__all__ = ["Project", "describe_machine", "failed", "know_machine"]


@attrs.frozen
class Project:
    """The folder that asv.conf.json lies in, and what is where in it."""

    root: Path

    @property
    def local(self) -> Path:
        """What asv wrote on this machine."""
        return self.root / ".asv/results"

    @property
    def kept(self) -> Path:
        """What is kept of it in the repository."""
        return self.root / "benchmarks/results"

    @property
    def work(self) -> Path:
        """Where a dashboard is put together."""
        return self.root / ".asv/site"

    @property
    def html(self) -> Path:
        """Where the published one is."""
        return self.root / ".asv/html"

    @property
    def scripts(self) -> Path:
        """Where the scripts of asv's pages are."""
        return self.root / ".asv/scripts"

    def git(self, *arguments: str) -> list[str]:
        """The lines that git says. Raises `UsageError` where it fails."""
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UsageError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def history(self) -> list[str]:
        """The main branch's own commits, newest first. Raises `UsageError` in a shallow clone, which has not all."""
        if self.git("rev-parse", "--is-shallow-repository") == ["true"]:
            raise UsageError("this clone is shallow: it has not all commits", hint="Run `git fetch --unshallow`.")
        return self.git("rev-list", "--first-parent", self.settings()["branches"][0])

    def tags(self) -> dict[str, str]:
        """The tagged commits, and the name of a tag of each."""
        lines = self.git(
            "tag", "--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end) %(refname:short)"
        )
        return {commit: name for commit, _, name in (line.partition(" ") for line in lines)}

    def settings(self) -> dict[str, Any]:
        """What asv.conf.json says."""
        path = self.root / "asv.conf.json"
        if not path.is_file():
            raise UsageError("there is no asv.conf.json in this folder", hint="Run it in the project's folder.")
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return settings

    def discover(self) -> dict[str, dict[str, Any]]:
        """The benchmarks as they stand in the working tree, by name, as asv describes them; `work` has them too."""
        shutil.rmtree(self.work, ignore_errors=True)
        home, machine = self.work / "home", "discovery"
        # asv runs on no machine that it does not know, and knows them by a file in the home folder.
        know_machine(machine, {"machine": machine}, home)
        self._configure()
        python = f"existing:{sys.executable}"
        command = ["run", "--bench", "just-discover", "--environment", python, "--machine", machine]
        self.asv(*command, config=self.work / "asv.conf.json", environ={"HOME": str(home)})
        results = self.work / "results"
        shutil.rmtree(results / machine)
        found: dict[str, dict[str, Any]] = json.loads((results / "benchmarks.json").read_text(encoding="utf-8"))
        return {name: benchmark for name, benchmark in found.items() if isinstance(benchmark, dict)}

    def describe_benchmarks(self, benchmarks: Mapping[str, Mapping[str, Any]]) -> None:
        """Let asv publish these alone, of those that `discover` found."""
        path = self.work / "results/benchmarks.json"
        version = json.loads(path.read_text(encoding="utf-8"))["version"]
        path.write_text(json.dumps({**benchmarks, "version": version}), encoding="utf-8")

    def asv(self, *arguments: str, config: Path, environ: Mapping[str, str] | None = None) -> None:
        """Run asv quietly. Raises `UsageError` with what it said where it fails."""
        command = [*self.asv_command(config), *arguments]
        environment = {**os.environ, **(environ or {})}
        done = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        if done.returncode:
            raise UsageError(f"`asv {arguments[0]}` failed:\n{done.stdout}{done.stderr}".rstrip())

    def asv_command(self, config: Path) -> Sequence[str]:
        """asv of this Python's environment, with the configuration."""
        return [sys.executable, "-m", "asv", "--config", str(config)]

    def _configure(self) -> None:
        settings = self.settings() | {
            "repo": str(self.root),
            "benchmark_dir": str(self.root / "benchmarks"),
            "env_dir": str(self.root / ".asv/env"),
            "results_dir": str(self.work / "results"),
            "html_dir": str(self.work / "html"),
        }
        (self.work / "asv.conf.json").write_text(json.dumps(settings), encoding="utf-8")


def describe_machine(name: str) -> dict[str, str]:
    """This machine under that name: processor, cores, memory, system, Python; nothing that tells it from its like."""
    return {
        "machine": name,
        "os": _system(),
        "arch": platform.machine(),
        "cpu": _processor(),
        "num_cpu": str(os.cpu_count() or 1),
        "ram": f"{round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30)} GB",
        "python": platform.python_version(),
    }


def know_machine(name: str, facts: Mapping[str, str], home: Path) -> None:
    """Write the machine into the file where asv looks for those that it knows; what is there of the name stays."""
    path = home / ".asv-machine.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"version": 1}
    if name not in known:
        home.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**known, name: dict(facts)}, indent=4), encoding="utf-8")


def failed(error: UsageError) -> int:
    """Say what went wrong, and what to do, as the command line does; returns the exit code."""
    print("\n".join([f"error: {error.message}", *([f"hint: {error.hint}"] if error.hint else [])]), file=sys.stderr)
    return 1


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
