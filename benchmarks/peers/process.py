"""A peer's process, seen from the driver: lines out, JSON in, each with a limit. Knows no row and no framework."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

__all__ = ["ROOT", "Peer", "PeerFailed", "environment", "last_line", "opened", "stopped"]

ROOT = Path(__file__).parent.parent.parent
"""The folder from which peers' modules are imported."""

ANSWER_SECONDS = 120.0
GOODBYE_SECONDS = 5.0

QUIET = {
    "AGNO_TELEMETRY": "false",
    "ANONYMIZED_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "OTEL_SDK_DISABLED": "true",
    "PYTHONWARNINGS": "ignore",
    "PYTHONDONTWRITEBYTECODE": "",
}
"""Variables that stop telemetry and warnings while we measure; Python's compiled files are kept, as usual."""


class PeerFailed(Exception):
    """Raised if a peer ended, fell silent, or sent something that is not an answer. The text gives the reason."""


def environment() -> dict[str, str]:
    """Return the environment of every peer's process; modules are imported from this repository's folder."""
    return {**os.environ, **QUIET, "PYTHONPATH": str(ROOT)}


def last_line(path: Path) -> str:
    """Return the last line of a process's standard error, or ""."""
    lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


class Peer:
    """A process that speaks the protocol, started by `opened`; `about` is the process's description of itself."""

    def __init__(self, name: str, process: trio.Process, errors: Path, limit: float) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.name = name
        self.about: Mapping[str, Any] = {}
        self._process, self._errors, self._limit = process, errors, limit
        self._to, self._from = process.stdin, process.stdout
        self._read = bytearray()

    async def ask(self, line: str = "") -> dict[str, Any]:
        """Send a line, unless it is empty, and return the answer. Raises `PeerFailed`: do not ask again then."""
        try:
            with trio.fail_after(self._limit):
                if line:
                    await self._to.send_all(line.encode() + b"\n")
                answer = json.loads(await self._read_line())
        except trio.TooSlowError:
            raise PeerFailed(f"gave no answer within {self._limit:g} s") from None
        except (trio.BrokenResourceError, trio.EndOfChannel):
            raise PeerFailed(await self._describe_end()) from None
        except ValueError:
            raise PeerFailed("answered with text that is not JSON") from None
        if not isinstance(answer, dict):
            raise PeerFailed("answered with JSON that is not an object")
        return answer

    async def _read_line(self) -> bytes:
        while b"\n" not in self._read:
            more = await self._from.receive_some()
            if not more:
                raise trio.EndOfChannel
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return bytes(line)

    async def _describe_end(self) -> str:
        with trio.move_on_after(GOODBYE_SECONDS):
            await self._process.wait()
        said = last_line(self._errors)
        return f"ended with status {self._process.returncode}" + (f": {said}" if said else "")


@asynccontextmanager
async def opened(name: str, command: Sequence[str], folder: Path, limit: float = ANSWER_SECONDS) -> AsyncIterator[Peer]:
    """Start a peer, read the description, and end the peer afterwards. `folder` keeps the standard error.

    Raises `PeerFailed` if the peer does not start.
    """
    errors = folder / f"{name}.err"
    async with stopped(command, errors, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        peer = Peer(name, process, errors, limit)
        peer.about = await peer.ask()
        yield peer


@asynccontextmanager
async def stopped(
    command: Sequence[str], errors: Path, *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
) -> AsyncIterator[trio.Process]:
    """Start a process, and end it afterwards: by a signal, then by a kill. Raises `PeerFailed` if the start fails."""
    with errors.open("wb") as stderr:
        try:
            process = await trio.lowlevel.open_process(
                list(command), stdin=stdin, stdout=stdout, stderr=stderr, env=environment(), cwd=ROOT
            )
        except OSError as error:
            raise PeerFailed(f"cannot be started: {error.strerror}") from error
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.terminate()
            with trio.move_on_after(GOODBYE_SECONDS):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    await stream.aclose()
