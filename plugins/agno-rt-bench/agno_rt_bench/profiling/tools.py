"""The profilers behind `agno-rt profile`: the command lines of py-spy and memray, and the causes of their failures.

Both are programs, and are not imported. py-spy reads the process from outside, and so sees the worker threads of
plain tools too. memray counts inside the process, and then draws a graph.
"""

from __future__ import annotations

import html
import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path
from typing import ClassVar

import attrs

from agno_rt.errors import UsageError
from agno_rt_bench.profiling.program import Program
from agno_rt_bench.profiling.running import Ended, run_inside, run_under

__all__ = ["Cpu", "Failed", "Memory", "find_tool"]

_TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*')
_DENIED = re.compile(r"permission|not permitted|root|EPERM|EACCES", re.IGNORECASE)


class Failed(Exception):
    """A failure to make a profile; `ended` is the end of the program."""

    def __init__(self, message: str, hint: str, ended: Ended) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.ended = ended


@attrs.frozen
class Cpu:
    """A profile by py-spy: samples a second, with or without waiting threads, by lines or by functions."""

    kind: str
    rate: int
    idle: bool
    lines: bool
    subprocesses: bool

    name: ClassVar[str] = "cpu"
    tool: ClassVar[str] = "py-spy"
    suffixes: ClassVar[dict[str, str]] = {"flamegraph": ".svg", "speedscope": ".json", "raw": ".txt"}

    def profile(self, program: Program, target: Path, seconds: float | None) -> Ended:
        """Run the program and write the profile. Raises `Failed` without a profile."""
        command = [find_tool(self.tool), "record", "--format", self.kind, "--rate", str(self.rate)]
        flags = {"--idle": self.idle, "--function": not self.lines, "--subprocesses": self.subprocesses}
        command += [flag for flag, wanted in flags.items() if wanted]
        ended = run_under([*command, "--output", str(target), "--"], program, seconds)
        if ended.failed or not _is_written(target):
            raise _explain_missing_profile(ended)
        if self.kind == "flamegraph":
            _retitle_graph(target, " ".join(program.words))
        return ended


@attrs.frozen
class Memory:
    """A profile by memray: of all objects or of blocks from the system, at the peak or at the end."""

    kind: str
    objects: bool
    leaks: bool

    name: ClassVar[str] = "memory"
    tool: ClassVar[str] = "memray"
    suffixes: ClassVar[dict[str, str]] = {"flamegraph": ".html", "table": ".html", "bin": ".bin"}

    def profile(self, program: Program, target: Path, seconds: float | None) -> Ended:
        """Run the program and write the profile. Raises `Failed` without a profile."""
        memray = [sys.executable, *program.flags, "-m", find_tool(self.tool)]
        recorded = target.with_suffix(".bin")
        counting = ["--trace-python-allocators"] if self.objects else []
        run = [*memray, "run", "--quiet", "--force", *counting, "--output", str(recorded), *program.target]
        ended = run_inside(run, seconds)
        if not _is_written(recorded):
            raise Failed("there is no profile: memray recorded nothing", "", ended)
        if self.kind != "bin":
            # `--no-web` puts the scripts into the page, so that the page works without a network.
            leaks = ["--leaks"] if self.leaks else []
            draw = [sys.executable, "-m", "memray", self.kind, "--no-web", "--force", *leaks]
            done = subprocess.run([*draw, "--output", str(target), str(recorded)], capture_output=True, check=False)
            if done.returncode or not _is_written(target):
                said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [""]
                raise Failed(f"memray could not draw its recording: {said[-1]}", "", ended)
        return ended


def find_tool(name: str) -> str:
    """Return the tool's program or module. Raises `UsageError` with the command that installs the tool."""
    if name == "memray":
        found = name if importlib.util.find_spec(name) else None
    else:
        found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise UsageError(f"{name} is not installed", hint="Install it: pip install agno-rt-bench")
    return found


def _is_written(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _retitle_graph(graph: Path, words: str) -> None:
    """Title the graph with the profiled command; py-spy's title is its own command line."""
    title = f"agno-rt profile cpu -- {html.escape(textwrap.shorten(words, 100))}"
    svg = graph.read_text(encoding="utf-8")
    graph.write_text(_TITLE.sub(lambda found: found[1] + title, svg, count=1), encoding="utf-8")


def _explain_missing_profile(ended: Ended) -> Failed:
    """Return the error for a missing profile, with the cause from py-spy's output."""
    if "No stack counts" in ended.said or not ended.failed:
        hint = "The command ended too soon, or waited: --idle counts waiting threads, --rate 1000 takes more samples."
        return Failed("there is no profile: py-spy never saw the command at work", hint, ended)
    errors = [line for line in ended.said.splitlines() if line.lower().startswith(("error", "reason", "permission"))]
    said = errors[0] if errors else ended.said.strip()
    if _DENIED.search(ended.said):
        hint = (
            "macOS: run the command with sudo. Linux: py-spy must be allowed to trace its child. In a container, grant "
            "the capability SYS_PTRACE; kernel.yama.ptrace_scope may be 1 at most."
        )
        return Failed(f"py-spy may not look into the command: {said}", hint, ended)
    return Failed(f"py-spy failed: {said}", "", ended)
