"""Ctrl-C during a run. Only for the main thread, which is the only one to receive signals."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from agno_rt.cli.report import notice

__all__ = ["on_interrupt"]


@contextmanager
def on_interrupt(stop: Callable[[], None], release: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Call `stop`, which must be quick, on the first Ctrl-C inside the block; the third ends the process at once.

    The second Ctrl-C calls `release`, which restores for instance the terminal's settings before such an end.
    """
    pressed = itertools.count(1)

    def handle(signum: int, frame: FrameType | None) -> None:
        if next(pressed) == 1:
            stop()
            return
        release()
        notice("Still stopping. Press Ctrl-C again to end agno-rt at once.")
        # The default handler ends the process even while Python waits in C code.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
