"""What Ctrl-C does while something is under way. For the main thread alone: only there do signals arrive."""

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
    """Inside the block the first Ctrl-C calls `stop`, which must be quick; the third ends the process at once.

    Before it can, `release` gives back what the process would otherwise take with it, such as the terminal's settings.
    """
    pressed = itertools.count(1)

    def handle(signum: int, frame: FrameType | None) -> None:
        if next(pressed) == 1:
            stop()
            return
        release()
        notice("Still stopping. Press Ctrl-C again to end agno-rt at once.")
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
