"""The files of `agno-rt map`: a file of inputs, and a file of results to which a later call adds.

Each input has a line. A result keeps the line's number and content, so that a later call skips the finished inputs and
repeats the changed ones.
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

from agno_rt.cli.transfer.lines import make_seekable
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
        """Yield the number and the content of each line. Raises `UsageError` for a line that is not an input."""
        self.file.seek(0)
        for number, line in enumerate(self.file, 1):
            if line.strip():
                yield number, self._read(number, line)

    def _read(self, number: int, line: bytes) -> Any:
        hint = 'Write a JSON string or an object with an "input" on each line; in a .txt file, the input itself.'
        try:
            given = line.decode().strip() if self.plain else msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeError) as exc:
            raise UsageError(f"{self.name}:{number} is not an input: {exc}", hint=hint) from exc
        text = input_of(given)
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"{self.name}:{number} is not an input", hint=hint)
        return given


def input_of(given: Any) -> Any:
    """Return the agent's input: the content itself, or the `input` of an object."""
    return given.get("input") if isinstance(given, dict) else given


@contextmanager
def open_inputs(path: str) -> Iterator[Inputs]:
    """Open a file of inputs; `-` is standard input. Raises `UsageError` if the file or a line cannot be read."""
    if path == "-":
        yield _check_inputs("standard input", sys.stdin.buffer, plain=False)
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - errors within the block are not about this file
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}", hint="Name a file of inputs.") from exc
    with file:
        yield _check_inputs(path, file, plain=path.endswith(".txt"))


def _check_inputs(name: str, file: IO[bytes], *, plain: bool) -> Inputs:
    """Read every line once, so that a wrong line is found before the agent is asked anything."""
    inputs = Inputs(name, plain, make_seekable(file))
    return attrs.evolve(inputs, total=sum(1 for _ in inputs))


@attrs.define
class Results:
    """A file of results, written line by line. `done` has the completed inputs by line number."""

    file: IO[bytes]
    done: dict[int, Any] = attrs.Factory(dict)

    def has(self, number: int, given: Any) -> bool:
        """Tell whether the input of the line is done."""
        return number in self.done and bool(self.done[number] == given)

    def write(self, number: int, given: Any, result: dict[str, Any]) -> None:
        """Add a result, in one write: a killed program leaves whole lines, except perhaps the last."""
        self.file.write(msgspec.json.encode({"line": number, "given": given, **result}) + b"\n")
        self.file.flush()


@contextmanager
def open_results(path: str, inputs: Inputs) -> Iterator[Results]:
    """Open a file of results to add to; `-` is standard output. Completed results of these inputs are kept.

    Raises `UsageError` for a file with other content, and for a file that cannot be written.
    """
    if path == "-":
        yield Results(sys.stdout.buffer)
        return
    target = Path(path).resolve()
    try:
        kept = _read_completed(target, path, dict(inputs)) if target.is_file() else {}
        if target.is_file():
            _replace_content(target, b"".join(kept.values()))
        file = target.open("ab")
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror or exc}", hint="Name another file.") from exc
    with file:
        yield Results(file, {number: msgspec.json.decode(line)["given"] for number, line in kept.items()})


def _read_completed(path: Path, name: str, inputs: dict[int, Any]) -> dict[int, bytes]:
    """Return the completed results by line number, without those of changed inputs."""
    kept: dict[int, bytes] = {}
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break  # a killed program wrote only part of the line
        try:
            result = msgspec.json.decode(line)
            at, given, status = result["line"], result["given"], result["status"]
        except (msgspec.MsgspecError, UnicodeError, KeyError, TypeError) as exc:
            hint = "Name another file with -o, or delete this one. The file was not changed."
            raise UsageError(f"{name}:{number} is not a result of `agno-rt map`", hint=hint) from exc
        if status == "completed" and inputs.get(at) == given:
            kept[at] = line
    return kept


def _replace_content(path: Path, content: bytes) -> None:
    """Replace the file's content, unless unchanged. The file is complete at any time."""
    # The new content is a selection of whole lines, so an equal size means equal content.
    if path.stat().st_size == len(content):
        return
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        made.write_bytes(content)
        shutil.copymode(path, made)
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
