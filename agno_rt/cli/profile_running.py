"""Runs a profiled program and waits for it: what Ctrl-C and the time limit do, and how it ended. Knows no profiler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Self

import attrs

from agno_rt.cli.profile_child import HELD
from agno_rt.cli.profile_command import Program
from agno_rt.cli.report import notice

__all__ = ["Ended", "run_inside", "run_under"]

_PATIENCE = ((10.0, signal.SIGTERM), (5.0, signal.SIGKILL))
"""What follows the Ctrl-C of the time limit, for a program that does not heed it: seconds to wait, and a signal."""

_ENOUGH = 3


@attrs.frozen
class Ended:
    """How a program ended: its exit code, `None` where nothing tells it.

    Of a profiler that is a process of its own, whether it failed, and what it printed.
    """

    code: int | None
    failed: bool = False
    said: str = ""


def run_inside(command: Sequence[str], seconds: float | None) -> Ended:
    """Run a program whose profiler is inside of its process; after so many seconds, interrupt it."""
    with _interrupts() as interrupts:
        process = subprocess.Popen(command)
        interrupts.send = process.send_signal
        code = _wait(process, seconds, process.send_signal)
    return Ended(code if code >= 0 else 128 - code)


def run_under(profiler: Sequence[str], program: Program, seconds: float | None) -> Ended:
    """Run a program as the child of a profiler, whose own output is kept apart; after so many seconds, interrupt it.

    Only the program gets the signals: at its end the profiler ends too, and has all of it.
    """
    with tempfile.TemporaryFile() as chatter, _interrupts() as interrupts, _Told() as told:
        out, err = os.dup(1), os.dup(2)
        numbers = (out, err, told.writing)
        child = ("-m", "agno_rt.cli.profile_child", *map(str, numbers))
        command = [*profiler, sys.executable, *program.flags, *child, *program.target]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
        try:
            process = subprocess.Popen(command, stdout=chatter, stderr=subprocess.STDOUT, pass_fds=numbers)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for number in numbers:
                os.close(number)
        interrupts.send = told.send
        failed = _wait(process, seconds, told.send) != 0
        chatter.seek(0)
        return Ended(told.code, failed, chatter.read().decode("utf-8", "replace"))


def _wait(process: subprocess.Popen[bytes], seconds: float | None, send: Callable[[int], None]) -> int:
    """Wait for the end, and hasten it when the time is over."""
    steps = () if seconds is None else ((seconds, signal.SIGINT), *_PATIENCE)
    for patience, number in steps:
        try:
            return process.wait(patience)
        except subprocess.TimeoutExpired:
            send(number)
    return process.wait()


class _Told:
    """What `profile_child` tells through a pipe: its process's id, then its exit code."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._reading)

    @property
    def code(self) -> int | None:
        """The exit code, if it was told."""
        lines = self._lines()
        return int(lines[1]) if len(lines) > 1 else None

    def send(self, number: int) -> None:
        """Send the program a signal, if it has begun and not ended."""
        lines = self._lines()
        if len(lines) == 1:
            with suppress(ProcessLookupError):
                os.kill(int(lines[0]), number)

    def _lines(self) -> list[bytes]:
        with suppress(BlockingIOError):
            while data := os.read(self._reading, 64):
                self._seen += data
        return self._seen.split(b"\n")[:-1]


class _Interrupts:
    """What signals to this process do while a program is profiled.

    Ctrl-C reaches the program by itself, which is in the terminal's foreground as well, and this process has to outlive
    it; the third one kills it. What was sent to this process alone is passed on.
    """

    def __init__(self) -> None:
        self.send: Callable[[int], None] = lambda number: None
        self._pressed = 0
        self._in_terminal = _in_terminal()

    def handle(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGINT or not self._in_terminal:
            self.send(number)
        elif (pressed := self._pressed + 1) < _ENOUGH:
            self._pressed = pressed
            if pressed == _ENOUGH - 1:
                notice("Still stopping. Press Ctrl-C again to kill the command.")
        else:
            self.send(signal.SIGKILL)


@contextmanager
def _interrupts() -> Iterator[_Interrupts]:
    interrupts = _Interrupts()
    before = {number: signal.signal(number, interrupts.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_terminal() -> bool:
    """Whether Ctrl-C in a terminal would reach this process, and so those that it starts."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
