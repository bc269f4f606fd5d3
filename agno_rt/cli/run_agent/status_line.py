"""A line at the foot of a terminal about the work under way, erased before anything else is written."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from contextlib import suppress
from typing import TextIO

from agno_rt.cli.report import clean, styled

__all__ = ["StatusLine", "can_show_status"]

_AFTER = 0.15
"""Seconds before anything is shown, so that quick work does not flash."""

_TICK = 0.1
_SECONDS_FROM = 2.0
"""Seconds after which the line shows the elapsed seconds."""


def can_show_status() -> bool:
    """Tell whether a line on stderr would be seen, and can be erased."""
    return sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


class StatusLine:
    """A text shown from `show` to `hide`, drawn by a thread of its own. `close` ends the thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._text = ""
        self._since = 0.0
        self._drawn = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def show(self, text: str) -> None:
        """Replace the shown text, after a short delay."""
        with self._changed:
            self._text, self._since = " ".join(clean(text).split()), time.monotonic()
            if self._thread is None:
                self._closed = False
                self._thread = threading.Thread(target=self._draw, name="agno-rt status", daemon=True)
                self._thread.start()
            self._changed.notify()

    def hide(self) -> None:
        """Erase the line. Nothing is drawn after the return."""
        with self._changed:
            self._text = ""
            self._erase(sys.stderr)

    def close(self) -> None:
        """Erase the line and end the thread."""
        self.hide()
        thread, self._thread = self._thread, None
        if thread is not None:
            with self._changed:
                self._closed = True
                self._changed.notify()
            thread.join()

    def _draw(self) -> None:
        frames = itertools.cycle("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if "utf" in (sys.stderr.encoding or "").lower() else "-\\|/")
        with self._changed:
            while not self._closed:
                waited = time.monotonic() - self._since
                if not self._text:
                    self._changed.wait()
                elif waited < _AFTER:
                    self._changed.wait(_AFTER - waited)
                else:
                    self._write(sys.stderr, next(frames), waited)
                    self._changed.wait(_TICK)

    def _write(self, stream: TextIO, frame: str, waited: float) -> None:
        from rich.cells import cell_len, set_cell_size

        from agno_rt.cli.text.word_wrap import terminal_width

        after = f" {waited:.0f} s" if waited >= _SECONDS_FROM else ""
        room = terminal_width() - len(after) - 2
        text = self._text if cell_len(self._text) <= room else f"{set_cell_size(self._text, max(0, room - 1))}…"
        # The old line is overwritten, not erased first, which would flicker.
        # A closed terminal ends the run elsewhere; this line does not matter.
        with suppress(OSError, ValueError):
            stream.write(f"\r{styled(f'{frame} {text}{after}', dim=True)}\x1b[K")
            stream.flush()
            self._drawn = True

    def _erase(self, stream: TextIO) -> None:
        if self._drawn:
            self._drawn = False
            with suppress(OSError, ValueError):
                stream.write("\r\x1b[K")
                stream.flush()
