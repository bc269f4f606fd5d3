"""Start-up before the first run: imports and the command line, each in fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .common import few, measured_in

ROUNDS = few(7)

PLUGIN = '''"""A plugin as small as they come."""

from agno_rt import hookimpl


@hookimpl
def agno_rt_register_tools(register):
    register("nothing", lambda rest, settings: None, help="nothing")
'''


class Import:
    """Imports, each timed in a process of its own."""

    def timeraw_trio(self) -> str:
        """The floor: trio alone."""
        return "import trio"

    def timeraw_agno_rt(self) -> str:
        """The kernel, everything that `from agno_rt import Agent, Runtime` needs."""
        return "from agno_rt import Agent, Runtime"


class Plugins:
    """Processes with many plugins, beside the environment's own. An environment of asv has only the kernel's."""

    params = (0, 15, 25)
    param_names = ("plugins",)

    def setup(self, plugins: int) -> None:
        """Install them into a folder, as an installer does: a module and a distribution's metadata for each."""
        self.folder = tempfile.TemporaryDirectory()
        for at in range(plugins):
            _install(Path(self.folder.name), at)

    def teardown(self, plugins: int) -> None:
        """Delete them."""
        self.folder.cleanup()

    @measured_in("ms")
    def track_milliseconds_beyond_trio(self, plugins: int) -> float:
        """What the kernel adds to trio's import, the best of rounds in which the two take turns."""
        agno_rt = trio = float("inf")
        for _ in range(ROUNDS):
            trio = min(trio, self._seconds("-c", "import trio"))
            agno_rt = min(agno_rt, self._seconds("-c", "from agno_rt import Agent, Runtime"))
        return round(1000 * (agno_rt - trio), 1)

    @measured_in("ms")
    def track_milliseconds_version(self, plugins: int) -> float:
        """`agno-rt --version`, the best of several."""
        return self._milliseconds("--version")

    @measured_in("ms")
    def track_milliseconds_plugins(self, plugins: int) -> float:
        """`agno-rt plugins`, which imports them all; the best of several."""
        return self._milliseconds("plugins")

    def _milliseconds(self, *arguments: str) -> float:
        best = min(self._seconds("-m", "agno_rt.cli", *arguments) for _ in range(ROUNDS))
        return round(1000 * best, 1)

    def _seconds(self, *arguments: str) -> float:
        # Run there, where no agno-rt.toml lies about, since the working folder is asv's or a project's. Keep Python's
        # compiled files, as in the second start of a program.
        environment = {**os.environ, "PYTHONPATH": self.folder.name, "PYTHONDONTWRITEBYTECODE": ""}
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            env=environment,
            cwd=self.folder.name,
        )
        return time.perf_counter() - start


def _install(folder: Path, number: int) -> None:
    name = f"agno_rt_fake_{number}"
    (folder / f"{name}.py").write_text(PLUGIN, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[agno_rt]\nfake{number} = {name}\n", encoding="utf-8")
