"""The reader of tables in text: CSV, and values between tabs. Each row tells the names of its columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import trio

from agno_rt.errors import UsageError
from agno_rt.knowledge.documents import Document
from agno_rt.knowledge.reading import Unread
from agno_rt_readers.base import FileReader, TextBuilder, decode_text

__all__ = ["TableReader"]

_SIGNS = ",;\t|"
_ROWS = 1_000


class TableReader(FileReader):
    """A `Reader` of CSV with a first row of names, parted by the commonest sign of that row: `,`, `;`, tab or `|`.

    A row becomes lines such as "city: Rome", and has a mark such as "row 3"; the row of names is row 1.
    """

    name = "table-1"
    media_type = "text/plain"

    def load(self, unread: Unread) -> Document:
        """See `FileReader.load`."""
        text = decode_text(unread.source, self.load_bytes(unread))
        builder = TextBuilder(unread.source, self.settings.max_characters)
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=_find_sign(text), strict=True)
        names: Sequence[str] = ()
        try:
            for number, row in enumerate(rows, 1):
                if not number % _ROWS:
                    trio.from_thread.check_cancelled()
                if not names:
                    names = [name.strip() for name in row] if any(map(str.strip, row)) else ()
                    continue
                _add_row(builder, names, number, row)
        except csv.Error as exc:
            hint = "Open it as a table: a quotation mark may be missing."
            raise UsageError(f"{unread.source} cannot be read: line {rows.line_num:,}: {exc}", hint=hint) from exc
        if not builder.length:  # a list of names alone
            builder.add("\n".join(names))
        return self.make_document(unread, builder)


def _find_sign(text: str) -> str:
    first = text.lstrip().partition("\n")[0]
    counts = [first.count(sign) for sign in _SIGNS]
    return _SIGNS[counts.index(max(counts))]


def _add_row(builder: TextBuilder, names: Sequence[str], number: int, row: Sequence[str]) -> None:
    lines = []
    for at, value in enumerate(row):
        name = names[at] if at < len(names) and names[at] else f"column {at + 1}"
        if value.strip():
            lines.append(f"{name}: {value.strip()}")
    if lines:
        builder.mark(f"row {number}")
        builder.add("\n".join(lines))
