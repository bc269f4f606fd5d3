"""asv and git as processes, and the places of files in the project's folder.

Does not import asv: asv imports this package in its environments for benchmarks, and they do not have asv.
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
    """The folder of asv.conf.json, with the places of results, pages and scripts."""

    root: Path

    @property
    def local(self) -> Path:
        """The results that asv wrote on this machine."""
        return self.root / ".asv/results"

    @property
    def kept(self) -> Path:
        """The results in the repository."""
        return self.root / "benchmarks/results"

    @property
    def work(self) -> Path:
        """The folder to put a dashboard together in."""
        return self.root / ".asv/site"

    @property
    def html(self) -> Path:
        """The folder of the published dashboard."""
        return self.root / ".asv/html"

    @property
    def scripts(self) -> Path:
        """The folder of the scripts of asv's pages."""
        return self.root / ".asv/scripts"

    def git(self, *arguments: str) -> list[str]:
        """Run git and return the lines of its output. Raises `UsageError` if git fails."""
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UsageError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def history(self) -> list[str]:
        """Return the main branch's own commits, newest first. Raises `UsageError` in a shallow clone."""
        if self.git("rev-parse", "--is-shallow-repository") == ["true"]:
            raise UsageError("this clone is shallow: it lacks old commits", hint="Run `git fetch --unshallow`.")
        return self.git("rev-list", "--first-parent", self.settings()["branches"][0])

    def tags(self) -> dict[str, str]:
        """Return a tag of each tagged commit."""
        lines = self.git(
            "tag", "--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end) %(refname:short)"
        )
        return {commit: name for commit, _, name in (line.partition(" ") for line in lines)}

    def settings(self) -> dict[str, Any]:
        """Read asv.conf.json. Raises `UsageError` without the file."""
        path = self.root / "asv.conf.json"
        if not path.is_file():
            raise UsageError("there is no asv.conf.json in this folder", hint="Run it in the project's folder.")
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return settings

    def discover(self) -> dict[str, dict[str, Any]]:
        """Return asv's descriptions of the benchmarks in the working tree, by name. asv writes them into `work` too."""
        shutil.rmtree(self.work, ignore_errors=True)
        home, machine = self.work / "home", "discovery"
        # asv refuses to run on an unknown machine. It reads the known machines from a file in the home folder.
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
        """Let asv publish only the given benchmarks, which `discover` found."""
        path = self.work / "results/benchmarks.json"
        version = json.loads(path.read_text(encoding="utf-8"))["version"]
        path.write_text(json.dumps({**benchmarks, "version": version}), encoding="utf-8")

    def asv(self, *arguments: str, config: Path, environ: Mapping[str, str] | None = None) -> None:
        """Run asv quietly. Raises `UsageError` with the output if asv fails."""
        command = [*self.asv_command(config), *arguments]
        environment = {**os.environ, **(environ or {})}
        done = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        if done.returncode:
            raise UsageError(f"`asv {arguments[0]}` failed:\n{done.stdout}{done.stderr}".rstrip())

    def asv_command(self, config: Path) -> Sequence[str]:
        """Return the command of asv in this environment, with the configuration."""
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
    """Describe this machine by the name: processor, cores, memory, system, Python; nothing to identify the machine."""
    return {
        "machine": name,
        "os": _name_system(),
        "arch": platform.machine(),
        "cpu": _name_processor(),
        "num_cpu": str(os.cpu_count() or 1),
        "ram": f"{round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30)} GB",
        "python": platform.python_version(),
    }


def know_machine(name: str, facts: Mapping[str, str], home: Path) -> None:
    """Write the machine into asv's file of known machines. A machine with the same name in the file stays."""
    path = home / ".asv-machine.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"version": 1}
    if name not in known:
        home.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**known, name: dict(facts)}, indent=4), encoding="utf-8")


def failed(error: UsageError) -> int:
    """Print the error and the hint, as the command line does. Return the exit code."""
    print("\n".join([f"error: {error.message}", *([f"hint: {error.hint}"] if error.hint else [])]), file=sys.stderr)
    return 1


def _name_system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _name_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
