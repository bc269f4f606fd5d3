"""Frames: columns of equal length with names, and what people ask of them. Pure, and without a library.

A frame is bounded to a million cells, for which loops of Python take a fraction of a second; pandas, Polars and DuckDB
take 125 to 200 ms to import, and 70 to 180 MB of disk.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from agno_rt.errors import suggest
from agno_rt.tools import ToolArgumentError

__all__ = [
    "AGGREGATES",
    "Frame",
    "describe_frame",
    "filter_frame",
    "group_frame",
    "infer_values",
    "kind_of",
    "show_value",
]

_WHOLE = re.compile(r"[-+]?(?:0|[1-9]\d{0,99})")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9]\d{0,17})?(?:\.\d+)?(?:[eE][-+]?\d{1,2})?")
_TOO_LARGE = "The numbers are too large to calculate with. Divide them, or take count, min or max."
_WORDS = {"true": True, "false": False}


@attrs.frozen
class Frame:
    """Columns by name, each a list of values: numbers, texts, truth values, `None`, or lists and dicts of JSON."""

    columns: Mapping[str, Sequence[Any]]

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self.columns)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values()), ()))

    @property
    def cells(self) -> int:
        """The number of cells."""
        return self.rows * len(self.columns)

    def column(self, name: str) -> Sequence[Any]:
        """Return the values of a column. Raises `ToolArgumentError` with the nearest name."""
        if name not in self.columns:
            raise ToolArgumentError(f"There is no column {name[:100]!r}. {suggest('column', name, self.columns)}")
        return self.columns[name]

    def take_rows(self, chosen: Iterable[int]) -> Frame:
        """Return a frame of some rows, by index."""
        indices = list(chosen)
        return Frame({name: [values[at] for at in indices] for name, values in self.columns.items()})

    def show_rows(self, start: int, end: int, most: int) -> list[list[str | None]]:
        """Return some rows as texts; longer values are cut after `most` characters."""
        parts = [[show_value(value, most) for value in values[start:end]] for values in self.columns.values()]
        return [list(row) for row in zip(*parts, strict=True)]


def show_value(value: Any, most: int = 1_000) -> str | None:
    """Return a value as text; `None` for nothing."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = f"{value:.15g}" if isinstance(value, float) else str(value)
    except ValueError:  # Python refuses to write whole numbers of more than 4,300 digits
        text = "<a number of thousands of digits>"
    return text if len(text) <= most else f"{text[:most]}[... {len(text):,} characters]"


def kind_of(values: Iterable[Any]) -> str:
    """Name the kind of a column: `integer`, `number`, `boolean`, `text`, `empty` or `mixed`."""
    kinds = {_KINDS.get(type_, "mixed") for type_ in set(map(type, values)) - {type(None)}}
    if kinds == {"integer", "number"}:
        return "number"
    return "empty" if not kinds else kinds.pop() if len(kinds) == 1 else "mixed"


def infer_values(texts: Sequence[str]) -> list[Any]:
    """Return the values of a column of texts: numbers or truth values if all are, else the texts; empty is `None`.

    Numbers with leading zeros, such as postal codes, stay texts.
    """
    filled = [text.strip() for text in texts if text.strip()]
    read: Callable[[str], Any] = str
    if filled and all(_WHOLE.fullmatch(text) for text in filled):
        read = int
    elif filled and all(_DECIMAL.fullmatch(text) and text[-1].isdigit() for text in filled):
        read = float
    elif filled and all(text.lower() in _WORDS for text in filled):
        read = _read_word
    return [(text if read is str else read(text.strip())) if text.strip() else None for text in texts]


def filter_frame(frame: Frame, conditions: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Frame:
    """Return the rows that fit all conditions: `{"column": "age", "operator": ">", "value": 30}`, or several of these.

    Raises `ToolArgumentError` for an unknown column or operator.
    """
    tests = [_read_condition(frame, condition) for condition in _list_conditions(conditions)]
    return frame.take_rows(at for at in range(frame.rows) if all(test(at) for test in tests))


def describe_frame(frame: Frame) -> Frame:
    """Return statistics of the columns of numbers, a row each: count, mean, std, min, quartiles, max."""
    try:
        rows = [_describe_column(name, values) for name, values in frame.columns.items() if _has_numbers(values)]
    except (OverflowError, ValueError):
        raise ToolArgumentError(_TOO_LARGE) from None
    heads = ("column", "count", "mean", "std", "min", "25%", "50%", "75%", "max")
    return Frame({head: [row[at] for row in rows] for at, head in enumerate(heads)})


def _describe_column(name: str, values: Sequence[Any]) -> list[Any]:
    numbers = sorted(value for value in values if value is not None)
    quarters = [_take_quantile(numbers, part) for part in (0.25, 0.5, 0.75)]
    return [name, len(numbers), _mean(numbers), _deviate(numbers), numbers[0], *quarters, numbers[-1]]


def _has_numbers(values: Sequence[Any]) -> bool:
    return kind_of(values) in ("integer", "number")


def group_frame(frame: Frame, by: Sequence[str], agg: Mapping[str, str]) -> Frame:
    """Return a row for each group, with aggregates: `{"salary": "mean"}`. Groups are in the order of their first rows.

    Raises `ToolArgumentError` for an unknown column or aggregate, and for an aggregate of numbers on texts.
    """
    if not by or not agg:
        raise ToolArgumentError('Name columns to group by, and aggregates such as {"salary": "mean"}.')
    keys = [frame.column(name) for name in by]
    groups: dict[Any, list[int]] = {}
    for at in range(frame.rows):
        groups.setdefault(_identify_row([key[at] for key in keys]), []).append(at)
    columns: dict[str, list[Any]] = {
        name: [key[rows[0]] for rows in groups.values()] for name, key in zip(by, keys, strict=True)
    }
    for name, word in agg.items():
        values = frame.column(name)
        if word not in AGGREGATES:
            raise ToolArgumentError(
                f"There is no aggregate {str(word)[:50]!r}. {suggest('aggregate', str(word), AGGREGATES)}"
            )
        if word in _NUMERIC and not _has_numbers(values) and kind_of(values) != "empty":
            raise ToolArgumentError(f"{word} needs numbers, and {name!r} is {kind_of(values)}. Use count, min or max.")
        called = name if name not in columns else f"{name}_{word}"
        columns[called] = [_aggregate(word, [values[at] for at in rows]) for rows in groups.values()]
    return Frame(columns)


def _identify_row(values: Sequence[Any]) -> Any:
    """Return a key for values: 1, True and 1.0 differ, and a value may be a list."""
    key = tuple((type(value), value) for value in values)
    try:
        hash(key)
    except TypeError:
        return repr(key)
    return key


def _aggregate(word: str, values: Sequence[Any]) -> Any:
    present = [value for value in values if value is not None]
    if word == "count":
        return len(present)
    if not present and word != "nunique":
        return None
    try:
        return AGGREGATES[word](present)
    except TypeError:
        raise ToolArgumentError(f"{word} cannot compare values of several kinds. Use count or nunique.") from None
    except (OverflowError, ValueError):
        raise ToolArgumentError(_TOO_LARGE) from None


def _count_distinct(values: Sequence[Any]) -> int:
    return len({repr(value) for value in values})


def _add_up(values: Sequence[Any]) -> Any:
    return sum(values) if all(isinstance(value, int) for value in values) else math.fsum(values)


def _mean(values: Sequence[Any]) -> float:
    return math.fsum(values) / len(values)


def _deviate(values: Sequence[Any]) -> float | None:
    if len(values) < 2:
        return None
    mean = _mean(values)  # `statistics.stdev` takes fifty times as long, for digits beyond those of floats
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _take_quantile(ordered: Sequence[Any], part: float) -> Any:
    """Return a quantile by linear interpolation, as pandas and Excel do."""
    place = (len(ordered) - 1) * part
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] if place == low else ordered[low] + (ordered[high] - ordered[low]) * (place - low)


AGGREGATES: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "count": len,
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "max": max,
    "mean": _mean,
    "median": statistics.median,
    "min": min,
    "nunique": _count_distinct,
    "std": _deviate,
    "sum": _add_up,
}
_NUMERIC = ("mean", "median", "std", "sum")


_KINDS: Mapping[type, str] = {bool: "boolean", int: "integer", float: "number", str: "text"}


def _read_word(text: str) -> bool:
    return _WORDS[text.lower()]


def _list_conditions(conditions: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Any]:
    if isinstance(conditions, Mapping):
        # One condition, or several by name, as in Agno-Go.
        return [conditions] if "column" in conditions else list(conditions.values())
    return list(conditions)


def _read_condition(frame: Frame, condition: Any) -> Callable[[int], bool]:
    example = 'Write {"column": "age", "operator": ">", "value": 30}.'
    if not isinstance(condition, Mapping) or "column" not in condition or "value" not in condition:
        raise ToolArgumentError(f"A condition has no column or no value. {example}")
    values, operator, wanted = (
        frame.column(str(condition["column"])),
        condition.get("operator", "=="),
        condition["value"],
    )
    if operator not in _OPERATORS:
        known = ", ".join(_OPERATORS)
        raise ToolArgumentError(f"There is no operator {str(operator)[:50]!r}. Use one of {known}.")
    compare = _OPERATORS[operator]
    return lambda at: compare(values[at], wanted)


def _compare(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """Compare as numbers if both are numbers, else as texts; nothing fits `None` but `None`."""

    def fits(value: Any, wanted: Any) -> bool:
        if value is None or wanted is None:
            return compare(value is None, wanted is None) if compare in (_is_equal, _is_other) else False
        pair = [_read_number(part) for part in (value, wanted)]
        left, right = pair if None not in pair else (show_value(value, 10**9), show_value(wanted, 10**9))
        return compare(left, right)

    return fits


def _read_number(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value and _DECIMAL.fullmatch(value.strip()) and value.strip()[-1:].isdigit():
        return float(value)
    return None


def _is_equal(left: Any, right: Any) -> bool:
    return bool(left == right)


def _is_other(left: Any, right: Any) -> bool:
    return bool(left != right)


def _compare_text(compare: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    return lambda value, wanted: value is not None and compare(str(value).casefold(), str(wanted).casefold())


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": _compare(_is_equal),
    "=": _compare(_is_equal),
    "!=": _compare(_is_other),
    ">": _compare(lambda left, right: left > right),
    ">=": _compare(lambda left, right: left >= right),
    "<": _compare(lambda left, right: left < right),
    "<=": _compare(lambda left, right: left <= right),
    "contains": _compare_text(lambda text, part: part in text),
    "starts_with": _compare_text(lambda text, part: text.startswith(part)),
    "ends_with": _compare_text(lambda text, part: text.endswith(part)),
}
