"""Python's values as PostgreSQL sends and receives them: in binary, so that no text ends at a NUL. Pure.

See https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES. The types are those of the
tables in `migrations/`: text, bytea, bigint, double precision and boolean, and arrays of text and bytea.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["DECODERS", "encode_value"]

_INT, _FLOAT = struct.Struct("!q"), struct.Struct("!d")
_HEAD = struct.Struct("!iiIii")
"""Dimensions, whether NULL occurs, type of the elements, their number, number of the first."""
_LENGTH = struct.Struct("!i")
_TEXT, _BYTES = 25, 17
"""The numbers of the types text and bytea, as in the table pg_type."""
_NOT_IN_NAMES = "\x01"
"""Stands for U+0000 in a text, which PostgreSQL refuses. A name has neither, so that nothing is found by it."""


def encode_value(value: object) -> bytes | None:
    """Encode a parameter. Raises `UnicodeEncodeError` for half of a surrogate pair."""
    if value is None or isinstance(value, bytes):
        return value
    encode = _ENCODERS.get(type(value)) or next(
        (encode for kind, encode in _ENCODERS.items() if isinstance(value, kind)), None
    )
    if encode is None:
        raise TypeError(f"a parameter is of type {type(value).__name__}")
    return encode(value)


def _encode_text(text: str) -> bytes:
    data = text.encode()
    return data.replace(b"\0", _NOT_IN_NAMES.encode()) if b"\0" in data else data


def _encode_array(values: Sequence[Any]) -> bytes:
    kind = _BYTES if values and isinstance(values[0], bytes) else _TEXT
    parts = [_HEAD.pack(1, 0, kind, len(values), 1)]
    for value in values:
        data = value if isinstance(value, bytes) else _encode_text(value)
        parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)


_ENCODERS: Mapping[type, Callable[[Any], bytes]] = {
    str: _encode_text,
    bool: lambda value: b"\x01" if value else b"\x00",
    int: _INT.pack,
    float: _FLOAT.pack,
    list: _encode_array,
    tuple: _encode_array,
}


def _decode_text(data: bytes) -> str:
    return data.decode()


def _decode_whole(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _decode_float(data: bytes) -> float:
    (number,) = _FLOAT.unpack(data)
    return float(number)


DECODERS: Mapping[int, Callable[[bytes], Any]] = {
    16: lambda data: data != b"\x00",  # boolean
    17: bytes,
    19: _decode_text,  # name
    20: _decode_whole,  # bigint
    21: _decode_whole,  # smallint
    23: _decode_whole,  # integer
    25: _decode_text,
    701: _decode_float,
    1043: _decode_text,  # character varying
    2278: lambda data: None,  # void
}
"""The decoders by the number of the type."""
