"""Lenient JSON, for sloppy servers: half characters, control characters and NaN are accepted. Pure."""

from __future__ import annotations

import json
from typing import Any

import msgspec

__all__ = ["read_json"]


def read_json(body: bytes) -> Any:
    """Return the value, or `None` for anything but JSON (and for null, never a valid answer).

    Bytes outside UTF-8 become surrogates, as in `surrogateescape`; half a surrogate pair stays unchanged. Joining the
    texts later restores the characters.
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
