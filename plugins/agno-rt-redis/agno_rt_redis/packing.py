"""MessagePack for Redis's Lua: bytes are written as strings, since the decoder there knows no binary type.

The formats are in https://github.com/msgpack/msgpack/blob/master/spec.md. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["pack", "pack_list"]

_SHORT = [bytes([0xA0 | size]) for size in range(32)]


def pack(values: Mapping[str, Any]) -> bytes:
    """Encode texts, bytes, numbers, truth values, lists and mappings.

    Raises `UnicodeError` for a text beyond UTF-8.
    """
    parts: list[bytes] = []
    _pack(values, parts.append)
    return b"".join(parts)


def pack_list(values: list[Any]) -> bytes:
    """Encode a list, as `pack` does."""
    parts: list[bytes] = []
    _pack(values, parts.append)
    return b"".join(parts)


def _pack(value: Any, put: Callable[[bytes], object]) -> None:
    match value:
        case str():
            _pack_bytes(value.encode(), put)
        case bytes():
            _pack_bytes(value, put)
        case bool():
            put(b"\xc3" if value else b"\xc2")
        case int():
            put(struct.pack(">Bq", 0xD3, value))
        case float():
            put(struct.pack(">Bd", 0xCB, value))
        case list():
            put(struct.pack(">BI", 0xDD, len(value)))
            _pack_all(value, put)
        case Mapping():
            put(struct.pack(">BI", 0xDF, len(value)))
            _pack_all([part for pair in value.items() for part in pair], put)
        case _:
            raise TypeError(f"{type(value).__name__} cannot be sent to a script")


def _pack_all(values: Iterable[Any], put: Callable[[bytes], object]) -> None:
    for each in values:
        _pack(each, put)


def _pack_bytes(value: bytes, put: Callable[[bytes], object]) -> None:
    size = len(value)
    if size < 32:
        put(_SHORT[size])
    else:
        put(struct.pack(">BI", 0xDB, size))
    put(value)
