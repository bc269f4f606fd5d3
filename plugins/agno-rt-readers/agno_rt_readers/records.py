"""The reader of JSON and of JSON lines. Each item tells its keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import trio

from agno_rt.errors import UsageError
from agno_rt.knowledge.documents import Document
from agno_rt.knowledge.reading import Unread
from agno_rt_readers.base import FileReader, TextBuilder, decode_text

__all__ = ["JsonReader"]

_ITEMS = 1_000
DEEPEST = 100


class JsonReader(FileReader):
    """A `Reader` of JSON. A value becomes a line with its keys, such as "address.city: Rome".

    Of a list, each item has a mark such as "item 3", counted from 1; of an object, each key is a mark; of JSON
    lines, each line, such as "line 3".
    """

    name = "json-1"
    media_type = "text/plain"

    def load(self, unread: Unread) -> Document:
        """See `FileReader.load`."""
        text = decode_text(unread.source, self.load_bytes(unread))
        builder = TextBuilder(unread.source, self.settings.max_characters)
        try:
            for label, item in _list_items(text, unread.media_type == "application/jsonl"):
                if not len(builder.marks) % _ITEMS:
                    trio.from_thread.check_cancelled()
                if lines := list(_list_lines("" if isinstance(item, dict) else "value", item, 0)):
                    builder.mark(label)
                    builder.add("\n".join(lines))
        except _NotJson as exc:
            hint = "Check it with `python -m json.tool`."
            raise UsageError(f"{unread.source} is not JSON: {exc}", hint=hint) from exc
        except RecursionError as exc:
            raise UsageError(f"{unread.source} is nested too deep", hint=f"At most {DEEPEST} levels.") from exc
        return self.make_document(unread, builder)


class _NotJson(Exception):
    """A text that is not JSON."""


def _list_items(text: str, is_lines: bool) -> Iterator[tuple[str, Any]]:
    """Yield the items with their labels."""
    if is_lines:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield f"line {number}", _decode(line, f"line {number:,}: ")
        return
    whole = _decode(text, "")
    if isinstance(whole, list):
        yield from ((f"item {number}", item) for number, item in enumerate(whole, 1))
    elif isinstance(whole, dict):
        yield from ((key, {key: value}) for key, value in whole.items())
    else:
        yield "", whole


def _decode(text: str, where: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as exc:
        raise _NotJson(f"{where}{exc}") from exc


def _list_lines(path: str, value: Any, depth: int) -> Iterator[str]:
    """Yield a line for each text, number and truth value, with the keys before the value."""
    if depth > DEEPEST:
        raise RecursionError
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _list_lines(f"{path}.{key}" if path else key, item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _list_lines(path, item, depth + 1)
    elif value is not None and value != "":
        text = str(value).lower() if isinstance(value, bool) else str(value)
        yield f"{path}: {text}"
