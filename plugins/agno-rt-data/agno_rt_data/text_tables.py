"""Tables as text for a model: comma-separated lines, and a last line about what is not shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["bound_text", "show_rows"]


def bound_text(text: str, most: int) -> str:
    """Return the text, cut after `most` characters with a note: a single row may have thousands of values."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[... cut after {most:,} characters: choose fewer columns]"


def show_rows(columns: Sequence[str], rows: Iterable[Sequence[str | None]], note: str = "") -> str:
    """Return a header and a line for each row. NULL is `NULL`; the text NULL is in quotes."""
    lines = [",".join(map(_quote_text, columns)), *(",".join(map(_show_cell, row)) for row in rows)]
    return "\n".join([*lines, f"[{note}]"] if note else lines)


def _show_cell(value: str | None) -> str:
    return "NULL" if value is None else _quote_text(value)


def _quote_text(text: str) -> str:
    if text and text != "NULL" and text == text.strip() and not any(char in text for char in ',"\n\r'):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
