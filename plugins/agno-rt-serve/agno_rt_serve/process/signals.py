"""The signals that stop a server, and the count of them. Knows no server."""

from __future__ import annotations

import atexit
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import trio

__all__ = ["stop_requests"]

_TERMINAL = "/dev/tty"
_HANG_UP = getattr(signal, "SIGHUP", None)
# For so many seconds after the server's end, its process counts as ending too.
_ENDING = 5.0


@contextmanager
def stop_requests(reload: Callable[[], None] | None = None) -> Iterator[AsyncIterator[int]]:
    """Give 1 for the first signal to stop, 2 for the second, and so on.

    If `reload` is given, SIGHUP calls it, unless the terminal from which the process was started is gone.

    SIGHUP, which comes when a terminal is closed, asks once like the others, but never insists: the shell and the
    system both send it. An ignored SIGHUP, as under `nohup`, stays ignored. For a process with no other purpose than
    the server: signals after the last counted one do not end the process, which ends anyway.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if _HANG_UP is not None and signal.getsignal(_HANG_UP) is not signal.SIG_IGN:
        numbers.append(_HANG_UP)
    late = _LateSignals(numbers)
    # Below trio's own handlers: when trio removes those, these are in place at once.
    before = {number: signal.signal(number, late) for number in numbers}
    requests = _Requests(reload)
    try:
        with trio.open_signal_receiver(*numbers) as received:
            yield requests.count(received)
    finally:
        if requests.asked:
            late.begin()
        else:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Requests:
    """A count of the requests to stop."""

    def __init__(self, reload: Callable[[], None] | None) -> None:
        self.asked = 0
        self._reload = reload
        self._had_terminal = _has_terminal()

    async def count(self, received: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in received:
            if number == _HANG_UP and self._reload is not None and (not self._had_terminal or _has_terminal()):
                self._reload()
            elif number != _HANG_UP or not self.asked:
                self.asked += 1
                yield self.asked


def _has_terminal() -> bool:
    """Return whether the process has a terminal that can hang up. The kernel takes it away before it sends SIGHUP."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


class _LateSignals:
    """Handles signals while the process ends. They take effect only if the process hangs.

    An insistent user would otherwise kill the process in its last moment: the exit code and the last output would be
    lost.
    """

    def __init__(self, numbers: list[signal.Signals]) -> None:
        self._numbers = numbers
        self._began = 0.0

    def begin(self) -> None:
        self._began = time.monotonic()
        # Python removes its handlers at its very end; ignored signals stay ignored.
        atexit.register(self._ignore)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._began and time.monotonic() - self._began > _ENDING:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _ignore(self) -> None:
        for number in self._numbers:
            signal.signal(number, signal.SIG_IGN)
