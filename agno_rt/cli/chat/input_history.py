"""The history of typed inputs, in a file of the user: a JSON string on each line, as inputs may have several lines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs

__all__ = ["History"]

_MOST = 1_000
"""The most inputs to load."""

_LONGEST = 20_000
"""The most characters of an input to store; longer inputs are not stored."""


@attrs.frozen
class History:
    """The inputs in a file, readable only by the user. A file that cannot be read or written counts as empty."""

    path: Path

    def load(self) -> list[str]:
        """Return the last inputs, oldest first, and shorten a file that has grown too long."""
        try:
            with self.path.open(encoding="utf-8", errors="replace") as file:
                lines = file.readlines()
        except OSError:
            return []
        kept = lines[-_MOST:]
        if len(lines) > 2 * _MOST:
            with suppress(OSError):
                self._replace(kept)
        return [text for line in kept for text in _decode_line(line)]

    def add(self, text: str) -> None:
        """Add an input."""
        if len(text) > _LONGEST:
            return
        with suppress(OSError), os.fdopen(self._open(self.path, os.O_APPEND), "w", encoding="utf-8") as file:
            # A single write, so that chats in two terminals do not mix their lines.
            file.write(json.dumps(text) + "\n")

    def _replace(self, lines: list[str]) -> None:
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        with os.fdopen(self._open(new, os.O_TRUNC), "w", encoding="utf-8") as file:
            file.writelines(lines)
        os.replace(new, self.path)

    def _open(self, path: Path, how: int) -> int:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)


def _decode_line(line: str) -> Iterator[str]:
    with suppress(ValueError):
        text = json.loads(line)
        if isinstance(text, str):
            yield text
