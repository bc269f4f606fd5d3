"""Runs a profiled program to its end, with Ctrl-C and a time limit. Knows no profiler."""

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

from agno_rt.cli.report import notice
from agno_rt_bench.profiling.child import HELD
from agno_rt_bench.profiling.program import Program

__all__ = ["Ended", "run_inside", "run_under"]

_PATIENCE = ((10.0, signal.SIGTERM), (5.0, signal.SIGKILL))
"""Steps after the time limit's Ctrl-C, for a program that ignores Ctrl-C: seconds to wait, then a signal."""

_ENOUGH = 3


@attrs.frozen
class Ended:
    """The end of a program: its exit code, `None` if unknown.

    `failed` and `said` are the failure and the output of a profiler in its own process.
    """

    code: int | None
    failed: bool = False
    said: str = ""


def run_inside(command: Sequence[str], seconds: float | None) -> Ended:
    """Run a program with the profiler in the same process. Interrupt the program after `seconds`."""
    with _handle_signals() as interrupts:
        process = subprocess.Popen(command)
        interrupts.send = process.send_signal
        code = _wait_for_end(process, seconds, process.send_signal)
    # A negative code is the signal that killed the process. Shells add 128 to the signal.
    return Ended(code if code >= 0 else 128 - code)


def run_under(profiler: Sequence[str], program: Program, seconds: float | None) -> Ended:
    """Run a program as the child of a profiler, with the profiler's output kept apart. Interrupt it after `seconds`.

    Only the program gets the signals: the profiler ends with the program, and with a complete profile.
    """
    with tempfile.TemporaryFile() as chatter, _handle_signals() as interrupts, _ChildReports() as told:
        out, err = os.dup(1), os.dup(2)
        numbers = (out, err, told.writing)
        child = ("-m", "agno_rt_bench.profiling.child", *map(str, numbers))
        command = [*profiler, sys.executable, *program.flags, *child, *program.target]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
        try:
            process = subprocess.Popen(command, stdout=chatter, stderr=subprocess.STDOUT, pass_fds=numbers)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for number in numbers:
                os.close(number)
        interrupts.send = told.send
        failed = _wait_for_end(process, seconds, told.send) != 0
        chatter.seek(0)
        return Ended(told.code, failed, chatter.read().decode("utf-8", "replace"))


def _wait_for_end(process: subprocess.Popen[bytes], seconds: float | None, send: Callable[[int], None]) -> int:
    """Wait for the end of the process; send signals once the time is over."""
    steps = () if seconds is None else ((seconds, signal.SIGINT), *_PATIENCE)
    for patience, number in steps:
        try:
            return process.wait(patience)
        except subprocess.TimeoutExpired:
            send(number)
    return process.wait()


class _ChildReports:
    """The pipe from `profiling.child`: first its process id, then its exit code."""

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
        """The exit code, once reported."""
        lines = self._lines()
        return int(lines[1]) if len(lines) > 1 else None

    def send(self, number: int) -> None:
        """Send a signal to the program, between its start and its end."""
        lines = self._lines()
        if len(lines) == 1:
            with suppress(ProcessLookupError):
                os.kill(int(lines[0]), number)

    def _lines(self) -> list[bytes]:
        with suppress(BlockingIOError):
            while data := os.read(self._reading, 64):
                self._seen += data
        return self._seen.split(b"\n")[:-1]


class _SignalHandling:
    """Signals during a profile.

    In a terminal, Ctrl-C reaches the program directly, and this process has to outlive the program. The third Ctrl-C
    kills the program. A signal for this process alone is passed on.
    """

    def __init__(self) -> None:
        self.send: Callable[[int], None] = lambda number: None
        self._pressed = 0
        self._in_terminal = _is_in_terminal()

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
def _handle_signals() -> Iterator[_SignalHandling]:
    interrupts = _SignalHandling()
    before = {number: signal.signal(number, interrupts.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_in_terminal() -> bool:
    """True if this process is in a terminal's foreground: Ctrl-C then reaches the children too."""
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
