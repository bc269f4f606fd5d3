"""The toolkit `csv`: read, write, analyze and filter CSV files of a folder. Names and parameters are Agno-Go's."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from agno_rt.tools import Tool, ToolArgumentError, Toolkit, tool
from agno_rt_data.csv_files import CsvFolder
from agno_rt_data.frames import Frame, filter_frame, kind_of, show_value
from agno_rt_data.settings import DataSettings
from agno_rt_data.text_tables import bound_text, show_rows

__all__ = ["csv_tools", "show_frame"]

SAMPLE = 3
FilePath = Annotated[str, Meta(min_length=1, max_length=1_000)]
Start = Annotated[int, Meta(ge=1)]
Limit = Annotated[int, Meta(ge=1, le=10_000)]


def csv_tools(folder: CsvFolder) -> Toolkit:
    """Make the tools of a folder; no tool to write for `read_only` in the settings."""
    tools = [
        _reading_tool(folder),
        *([] if folder.limits.read_only else [_writing_tool(folder)]),
        *_asking_tools(folder),
    ]
    return Toolkit(f"csv:{folder.root.name}", tuple(tools))


def show_frame(frame: Frame, limits: DataSettings, *, start: int = 1, limit: int = 100, more: str = "") -> str:
    """Return rows of a frame as text. A note says which rows they are; `more` says how to see others."""
    end = min(frame.rows, start - 1 + min(limit, limits.rows))
    rows, size = list[list[str | None]](), 0
    for row in frame.show_rows(start - 1, end, limits.cell_characters):
        size += sum(len(value) + 3 for value in row if value is not None)
        if size > limits.result_characters and rows:
            break
        rows.append(row)
    last = start - 1 + len(rows)
    note = f"{frame.rows:,} row{'' if frame.rows == 1 else 's'}"
    if rows and (start > 1 or last < frame.rows):
        note = f"rows {start:,} to {last:,} of {frame.rows:,}{more}"
    elif start > 1:
        note = f"{note}; start before that"
    return bound_text(show_rows(frame.names, rows, note), 2 * limits.result_characters)


def _reading_tool(folder: CsvFolder) -> Tool:
    @tool(read_only=True, destructive=False, idempotent=True)
    def read_csv(file_path: FilePath, has_header: bool = True, start: Start = 1, limit: Limit = 100) -> str:
        """Read a CSV file and show its rows.

        Args:
            file_path: path to the CSV file
            has_header: whether the file has a header row
            start: the first row to show
            limit: the most rows to show
        """
        frame = folder.read(file_path, has_header=has_header).to_frame()
        return show_frame(frame, folder.limits, start=start, limit=limit, more="; use start, or filter_csv")

    return read_csv


def _writing_tool(folder: CsvFolder) -> Tool:
    @tool(read_only=False, destructive=True, parallel=False, approve=folder.limits.approve, idempotent=True)
    def write_csv(file_path: FilePath, data: list[list[Any]], headers: list[str] | None = None) -> str:
        """Write rows to a CSV file, in place of the old file.

        Args:
            file_path: path to the CSV file to create
            data: rows to write, each a list of values
            headers: optional header row, a list of column names
        """
        rows = [headers, *data] if headers else data
        if sum(map(len, rows)) > folder.limits.cells:
            raise ToolArgumentError(f"The data has more than {folder.limits.cells:,} values, the most. Write less.")
        size = folder.write(file_path, rows)
        return f"{file_path} is written: {len(data):,} rows, {size:,} bytes."

    return write_csv


def _asking_tools(folder: CsvFolder) -> list[Tool]:
    @tool(read_only=True, destructive=False, idempotent=True)
    def analyze_csv(file_path: FilePath) -> str:
        """Analyze a CSV file: rows, columns, the kinds and ranges of values, and the first rows.

        Args:
            file_path: path to the CSV file
        """
        sheet = folder.read(file_path)
        frame = sheet.to_frame()
        even = "all rows have the same number of columns" if not sheet.uneven else f"{sheet.uneven:,} uneven rows"
        facts = f"{file_path}: {frame.rows:,} rows, {len(frame.names)} columns, delimiter {sheet.delimiter!r}, {even}"
        rows = [_analyze_column(name, values) for name, values in frame.columns.items()]
        table = show_rows(("column", "kind", "empty", "distinct", "min", "max"), rows[: folder.limits.rows])
        sample = show_frame(frame, folder.limits, limit=SAMPLE)
        return f"{facts}\n\n{bound_text(table, folder.limits.result_characters)}\n\n{sample}"

    @tool(read_only=True, destructive=False, idempotent=True)
    def filter_csv(
        file_path: FilePath, conditions: dict[str, Any] | list[dict[str, Any]], start: Start = 1, limit: Limit = 100
    ) -> str:
        """Show the rows of a CSV file that fit all conditions.

        Operators: ==, !=, >, >=, <, <=, contains, starts_with, ends_with.

        Args:
            file_path: path to the CSV file
            conditions: a condition such as {"column": "age", "operator": ">", "value": 30}, or a list of conditions
            start: the first of the fitting rows to show
            limit: the most rows to show
        """
        whole = folder.read(file_path).to_frame()
        found = filter_frame(whole, conditions)
        shown = show_frame(found, folder.limits, start=start, limit=limit, more="; use start, or more conditions")
        return f"{found.rows:,} of {whole.rows:,} rows fit.\n{shown}"

    return [analyze_csv, filter_csv]


def _analyze_column(name: str, values: Any) -> list[str | None]:
    present = [value for value in values if value is not None]
    ends = [show_value(end(present), 100) for end in (min, max)] if present else [None, None]
    empty, distinct = len(values) - len(present), len(set(present))
    return [name, kind_of(values), str(empty), str(distinct), *ends]
