"""The format of JSON lines for stored things: written completely or not at all, read with errors naming the line.

Each line is an object with `format`, `kind` and the fields of the stored thing. Bytes are in base64. Opens no memory.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import attrs
import msgspec

from agno_rt.errors import AgnoError, UsageError

__all__ = ["FORMAT", "Fault", "Line", "LineReader", "encode_line", "make_seekable", "open_output"]

FORMAT = 1
"""The format that this version writes and reads."""
MOST_BYTES = 2**28
"""The most bytes of a line: more than any export writes but for a single message or run of that size."""

_SPOOLED = 2**24
"""The most bytes of standard input to hold in memory; more go to a temporary file."""
_PIECE = 2**20


class Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The beginning of every line. The kinds of lines are subclasses with the fields of the stored thing."""

    format: int
    kind: str

    def check(self) -> None:
        """Raise `UsageError` for a value that cannot be stored."""


class _Head(msgspec.Struct):
    format: Any = None
    kind: Any = None


T = TypeVar("T", bound=Line)
_encode = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(_Head).decode


@attrs.frozen
class Fault:
    """The reason why a line is not read."""

    problem: str
    hint: str = ""


@attrs.frozen
class LineReader(Generic[T]):
    """Reads the lines of a kind, each at most `most` bytes long. A faulty line hides no other line."""

    kind: str
    type: type[T]
    most: int = MOST_BYTES

    def read(self, file: IO[bytes]) -> Iterator[tuple[int, T | Fault]]:
        """Yield the number and the content of each line that is not blank."""
        number = 0
        while line := file.readline(self.most + 1):
            number += 1
            if len(line) > self.most and not line.endswith(b"\n"):
                while (more := file.readline(_PIECE)) and not more.endswith(b"\n"):
                    pass
                hint = "Export it again: an export writes shorter lines, but for a message of that size."
                yield number, Fault(f"the line is longer than {self.most:,} bytes", hint)
            elif line.strip():
                yield number, self._read_line(line)

    def _read_line(self, line: bytes) -> T | Fault:
        hint = f"A line must be as `export` writes it: a JSON object with format {FORMAT} and the kind {self.kind}."
        try:
            head = _decode_head(line)
            if head.format != FORMAT or isinstance(head.format, bool):
                newer = isinstance(head.format, int) and head.format > FORMAT
                what = "no format" if head.format is None else f"the format {head.format!r}, and {FORMAT} is known"
                return Fault(f"the line has {what}", "Upgrade agno-rt." if newer else hint)
            if head.kind != self.kind:
                return Fault(f"the line has the kind {head.kind!r}, not {self.kind!r}", hint)
            value = msgspec.json.decode(line, type=self.type)
            value.check()
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as exc:
            return Fault(f"the line is not a {self.kind}: {exc}", hint)
        except AgnoError as exc:
            return Fault(exc.message, exc.hint)
        return value


def encode_line(line: Line) -> bytes:
    """Return the line as bytes, with its end."""
    return _encode(line) + b"\n"


def make_seekable(file: IO[bytes]) -> IO[bytes]:
    """Return the file, or a copy of a file that can be read only once, such as a pipe."""
    if file.seekable():
        return file
    copy = tempfile.SpooledTemporaryFile(_SPOOLED)  # noqa: SIM115 - it must live as long as its reader
    shutil.copyfileobj(file, copy)
    return copy


@contextmanager
def open_output(path: str | None) -> Iterator[IO[bytes]]:
    """Open standard output (`None` or `-`) or a file to write to. The file appears only when complete.

    Only the owner can read the file. Raises `UsageError` if the file cannot be written; an existing file then stays.
    """
    if path is None or path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path).resolve()
    try:
        if target.exists() and not target.is_file():
            # A device or a pipe must not be replaced by a file.
            with target.open("wb") as file:
                yield file
            return
        # mkstemp makes the file private; in the same folder, since a file cannot be moved to another disk in one step.
        number, made = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(number, "wb") as file:
                yield file
            Path(made).replace(target)
        except BaseException:
            Path(made).unlink()
            raise
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror or exc}", hint="Name another file.") from exc
