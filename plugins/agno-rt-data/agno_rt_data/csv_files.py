"""CSV files of one folder, by relative paths: read, and written whole or not at all. Use a thread: they block."""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from agno_rt.context_providers.rooted_files import open_folder, read_file, split_path
from agno_rt.errors import UsageError
from agno_rt.tools import ToolArgumentError
from agno_rt_data.frames import Frame, infer_values, show_value
from agno_rt_data.settings import DataSettings

__all__ = ["CsvFolder", "Sheet"]

_DELIMITERS = ",;\t|"
_LOOKED_AT = 20
"""The lines that decide on the delimiter."""


@attrs.frozen
class Sheet:
    """The rows of a file as texts, with the header, and facts about the file."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    delimiter: str = ","
    uneven: int = 0

    def to_frame(self) -> Frame:
        """Return a frame; short rows are filled up with nothing, and values are read as numbers where all are."""
        width = len(self.header)
        columns = [[row[at] if at < len(row) else "" for row in self.rows] for at in range(width)]
        return Frame({name: infer_values(column) for name, column in zip(self.header, columns, strict=True)})


class CsvFolder:
    """A folder with CSV files. No path and no link leads outside. Raises `UsageError` for a missing folder."""

    def __init__(self, root: str | Path, limits: DataSettings) -> None:
        self.root = Path(root).expanduser().resolve()
        self.limits = limits
        if not self.root.is_dir():
            raise UsageError(f"there is no folder {str(root)!r}", hint="Make it, or name another one.")

    def read(self, path: str, *, has_header: bool = True) -> Sheet:
        """Read a file. Raises `ToolArgumentError` for a file that is missing, too large or not CSV."""
        parts = _split_path(path)
        try:
            data = read_file(self.root, parts, self.limits.file_bytes + 1)
        except OSError as exc:
            raise _explain_error(path, "read", exc) from exc
        if len(data) > self.limits.file_bytes:
            raise ToolArgumentError(
                f"{path!r} has more than {self.limits.file_bytes:,} bytes, the most. Split the file."
            )
        if b"\0" in data:
            raise ToolArgumentError(f"{path!r} is not a text. CSV files are UTF-8 texts.")
        return _read_sheet(data, has_header)

    def write(self, path: str, rows: Sequence[Sequence[Any]]) -> int:
        """Write a file in place of the old one, and return the bytes. Raises `ToolArgumentError`."""
        parts = _split_path(path)
        if not parts[-1].lower().endswith((".csv", ".tsv", ".txt")):
            raise ToolArgumentError(f"{path!r} is not the name of a CSV file. Use a name like data.csv.")
        text = io.StringIO()
        writer = csv.writer(text, delimiter="\t" if parts[-1].lower().endswith(".tsv") else ",", lineterminator="\n")
        writer.writerows([[_write_value(value) for value in row] for row in rows])
        data = text.getvalue().encode("utf-8", "replace")
        if len(data) > self.limits.file_bytes:
            raise ToolArgumentError(
                f"The file would have {len(data):,} bytes, and may have {self.limits.file_bytes:,}."
            )
        try:
            self._replace_file(parts, data)
        except OSError as exc:
            raise _explain_error(path, "written", exc) from exc
        return len(data)

    def _replace_file(self, parts: Sequence[str], data: bytes) -> None:
        for end in range(len(parts) - 1):
            with open_folder(self.root, parts[:end]) as above, suppress(FileExistsError):
                os.mkdir(parts[end], dir_fd=above)
        with open_folder(self.root, parts[:-1]) as folder:
            made = f".{secrets.token_hex(8)}.tmp"
            file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder)
            try:
                with open(file, "wb") as opened:
                    opened.write(data)
                os.replace(made, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(made, dir_fd=folder)
                raise


def _write_value(value: Any) -> str:
    """Return a value with all its digits."""
    return repr(value) if isinstance(value, float) else show_value(value, 10**9) or ""


def _split_path(path: str) -> tuple[str, ...]:
    try:
        parts = split_path(path)
    except UsageError as exc:
        raise ToolArgumentError(exc.full_text) from exc
    if not parts:
        raise ToolArgumentError("The path names no file. Use a path like data/sales.csv.")
    return parts


def _read_sheet(data: bytes, has_header: bool) -> Sheet:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")  # as Excel writes it in many countries
    delimiter = _guess_delimiter(text)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except csv.Error as exc:
        raise ToolArgumentError(f"The file cannot be read as CSV: {exc}. Close quotes, and keep values short.") from exc
    width = max(map(len, rows), default=0)
    first = rows[0] if has_header and rows else []
    header = _name_columns(first, width)
    body = rows[1:] if has_header else rows
    return Sheet(header, body, delimiter, sum(len(row) != len(rows[0]) for row in rows))


def _guess_delimiter(text: str) -> str:
    """Return the delimiter that the first lines have most evenly; a comma if none is there."""
    lines = [line for line in text[:100_000].splitlines()[:_LOOKED_AT] if line.strip()]

    def rate(delimiter: str) -> tuple[int, int]:
        counts = [len(row) - 1 for row in csv.reader(lines, delimiter=delimiter)]
        return (counts.count(counts[0]) if counts and counts[0] else 0, counts[0] if counts else 0)

    try:
        return max(_DELIMITERS, key=rate)
    except csv.Error:
        return ","


def _name_columns(first: Sequence[str], width: int) -> list[str]:
    """Return a name for each column; missing and repeated names get a number."""
    names = list[str]()
    for at in range(width):
        name = (first[at].strip() if at < len(first) else "") or f"column_{at + 1}"
        names.append(name if name not in names else f"{name}_{at + 1}")
    return names


def _explain_error(path: str, done: str, exc: OSError) -> ToolArgumentError:
    return ToolArgumentError(f"{path[:200]!r} cannot be {done}: {exc.strerror}. Paths are below the folder.")
