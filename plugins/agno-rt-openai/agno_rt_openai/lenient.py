"""JSON as sloppy servers write it: with half characters, control characters and NaN in it. Pure."""

from __future__ import annotations

import json
from typing import Any

import msgspec

__all__ = ["read_json"]


def read_json(body: bytes) -> Any:
    """Return the value, or `None` where there is no JSON (or null, which no answer is).

    Bytes that are not UTF-8 become surrogates, as `surrogateescape` has it; half a surrogate pair stays one. Whoever
    puts texts together makes characters of them.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return _DECODER.decode(body.decode("utf-8-sig", "surrogateescape"))
    except (ValueError, RecursionError):
        return None


_DECODER = json.JSONDecoder(strict=False)
