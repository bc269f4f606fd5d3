"""What `agno-rt map` reads and writes: a file of inputs, and a file of results to which a later call adds.

Each input is known by its line. A result keeps the line's number and what stood on it, so that a later call finds which
inputs are done, and does those again that were changed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import attrs
import msgspec

from agno_rt.cli.transfer import make_seekable
from agno_rt.errors import UsageError

__all__ = ["Inputs", "Results", "open_inputs", "open_results"]


@attrs.frozen
class Inputs:
    """The inputs of a file, `total` in all. Iterating reads the file anew, line by line."""

    name: str
    plain: bool
    file: IO[bytes]
    total: int = 0

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Yield each line's number, and what stands on it. Raises `UsageError` for a line that is not an input."""
        self.file.seek(0)
        for number, line in enumerate(self.file, 1):
            if line.strip():
                yield number, self._read(number, line)

    def _read(self, number: int, line: bytes) -> Any:
        hint = 'Each line is a JSON string, or an object with an "input"; in a .txt file it is the input itself.'
        try:
            given = line.decode().strip() if self.plain else msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeError) as exc:
            raise UsageError(f"{self.name}:{number} is not an input: {exc}", hint=hint) from exc
        text = input_of(given)
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"{self.name}:{number} is not an input", hint=hint)
        return given


def input_of(given: Any) -> Any:
    """Return what the agent is asked."""
    return given.get("input") if isinstance(given, dict) else given


@contextmanager
def open_inputs(path: str) -> Iterator[Inputs]:
    """Open a file of inputs; `-` is standard input. Raises `UsageError` where it, or a line of it, cannot be read."""
    if path == "-":
        yield _checked_inputs("standard input", sys.stdin.buffer, plain=False)
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - what is wrong within the block is not the file's fault
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}", hint="Name a file of inputs.") from exc
    with file:
        yield _checked_inputs(path, file, plain=path.endswith(".txt"))


def _checked_inputs(name: str, file: IO[bytes], *, plain: bool) -> Inputs:
    """Read every line once, so that a line that is not an input is found before the first is asked."""
    inputs = Inputs(name, plain, make_seekable(file))
    return attrs.evolve(inputs, total=sum(1 for _ in inputs))


@attrs.define
class Results:
    """Where results go, line by line; `done` has the inputs that are completed there, by the number of their line."""

    file: IO[bytes]
    done: dict[int, Any] = attrs.Factory(dict)

    def has(self, number: int, given: Any) -> bool:
        """Tell whether the input of the line is done."""
        return number in self.done and bool(self.done[number] == given)

    def write(self, number: int, given: Any, result: dict[str, Any]) -> None:
        """Add a result, in one write: a program that is killed leaves whole lines, but for the last."""
        self.file.write(msgspec.json.encode({"line": number, "given": given, **result}) + b"\n")
        self.file.flush()


@contextmanager
def open_results(path: str, inputs: Inputs) -> Iterator[Results]:
    """Open a file of results to add to; `-` is standard output. It keeps what is completed of these inputs.

    Raises `UsageError` for a file that is something else, and where it cannot be written.
    """
    if path == "-":
        yield Results(sys.stdout.buffer)
        return
    target = Path(path).resolve()
    try:
        kept = _completed(target, path, dict(inputs)) if target.is_file() else {}
        if target.is_file():
            _rewrite(target, b"".join(kept.values()))
        file = target.open("ab")
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror or exc}", hint="Name another file.") from exc
    with file:
        yield Results(file, {number: msgspec.json.decode(line)["given"] for number, line in kept.items()})


def _completed(path: Path, name: str, inputs: dict[int, Any]) -> dict[int, bytes]:
    """Find the lines of results that are completed and whose input still stands where it stood."""
    kept: dict[int, bytes] = {}
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break  # a program was killed while it wrote this one
        try:
            result = msgspec.json.decode(line)
            at, given, status = result["line"], result["given"], result["status"]
        except (msgspec.MsgspecError, UnicodeError, KeyError, TypeError) as exc:
            hint = "Name another file with -o, or delete this one. Nothing in it was changed."
            raise UsageError(f"{name}:{number} is not a result of `agno-rt map`", hint=hint) from exc
        if status == "completed" and inputs.get(at) == given:
            kept[at] = line
    return kept


def _rewrite(path: Path, content: bytes) -> None:
    """Put the content in the place of what the file has, where that is something else: it is whole at any time."""
    if path.stat().st_size == len(content):
        return
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        made.write_bytes(content)
        shutil.copymode(path, made)
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
