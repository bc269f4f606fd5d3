"""Google Sheets: read a range, write a range, append rows.

Reference: "Google Sheets API", version 4, `spreadsheets.values`: get, update, append.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import attrs
from msgspec import Meta

from agno_rt.tools import Tool, ToolArgumentError
from agno_rt_services.google import GoogleAccess, GoogleSettings
from agno_rt_services.service import Definition, Service, quote_part
from agno_rt_services.texts import pick

__all__ = ["SERVICE", "SheetsSettings"]

MOST_ROWS = 500
MOST_CELLS = 5_000
MOST_CELL = 2_000
MOST_WRITTEN = 50_000
"""The most cells of one write; Google refuses more than ten million in a spreadsheet."""

Spreadsheet = Annotated[
    str, Meta(description="The id of the spreadsheet: the part of its address after /d/.", min_length=1, max_length=200)
]
Range = Annotated[str, Meta(min_length=1, max_length=300)]
Cell: TypeAlias = str | int | float | bool | None
Values = Annotated[list[list[Cell]], Meta(description="The rows; each is a list of cells.", min_length=1)]


@attrs.frozen(kw_only=True, slots=False)
class SheetsSettings(GoogleSettings):
    """The settings of Google Sheets.

    `input` is `USER_ENTERED` to let Google read texts as a person's input (dates, numbers, formulas), or `RAW` to keep
    texts as they are: a model then cannot write a formula.
    """

    base_url: str = "https://sheets.googleapis.com/v4/spreadsheets"
    scope: str = "https://www.googleapis.com/auth/spreadsheets"
    input: Literal["USER_ENTERED", "RAW"] = "USER_ENTERED"


def make_tools(service: Service) -> list[Tool]:
    """Make the tools of an open service."""

    @service.reading()
    async def read_range(spreadsheet_id: Spreadsheet, range: Range) -> dict[str, Any]:
        """Read a range of Google Sheets. A large range is cut: read parts of it.

        Args:
            range: the range, such as Sheet1!A1:D10
        """
        found = await service.get(_path(spreadsheet_id, range))
        return _show_rows(found)

    @service.changing(destructive=True, idempotent=True)
    async def write_range(spreadsheet_id: Spreadsheet, range: Range, values: Values) -> dict[str, Any]:
        """Write rows into a range of Google Sheets, in place of what is there.

        Args:
            range: the range, or its first cell, such as Sheet1!A1
        """
        done = await service.put(_path(spreadsheet_id, range), _body(values), valueInputOption=service.settings.input)
        return _show_update(done)

    @service.changing()
    async def append_rows(spreadsheet_id: Spreadsheet, range: Range, values: Values) -> dict[str, Any]:
        """Append rows behind the last row of a table in Google Sheets.

        Args:
            range: a range with the table, such as Sheet1!A:D
        """
        path = f"{_path(spreadsheet_id, range)}:append"
        done = await service.post(path, _body(values), valueInputOption=service.settings.input)
        return _show_update(pick(done, "updates"))

    return [read_range, write_range, append_rows]


def _path(spreadsheet_id: str, range_: str) -> str:
    return f"{quote_part(spreadsheet_id)}/values/{quote_part(range_)}"


def _body(values: list[list[Cell]]) -> dict[str, Any]:
    cells = sum(map(len, values))
    if cells > MOST_WRITTEN:
        raise ToolArgumentError(f"values has {cells:,} cells, and at most {MOST_WRITTEN:,} may be written at once")
    return {"values": values}


def _show_rows(found: dict[str, Any]) -> dict[str, Any]:
    """Return the rows with a bound for rows, cells and characters, and the number of all rows."""
    rows = [row for row in found.get("values") or [] if isinstance(row, list)]
    shown: list[list[Any]] = []
    left = MOST_CELLS
    for row in rows[:MOST_ROWS]:
        if len(row) > left:
            break
        left -= len(row)
        shown.append([_cut_cell(cell) for cell in row])
    told = {"range": found.get("range"), "values": shown, "rows": len(rows)}
    return told | ({"cut_after_rows": len(shown)} if len(shown) < len(rows) else {})


def _cut_cell(cell: Any) -> Any:
    return f"{cell[:MOST_CELL]}..." if isinstance(cell, str) and len(cell) > MOST_CELL else cell


def _show_update(done: Any) -> dict[str, Any]:
    names = {"updated_range": "updatedRange", "updated_rows": "updatedRows", "updated_cells": "updatedCells"}
    names["updated_columns"] = "updatedColumns"
    return {name: pick(done, field) for name, field in names.items()}


SERVICE = Definition("googlesheets", "GOOGLE_SHEETS_TOKEN", make_tools, SheetsSettings, access=GoogleAccess)
