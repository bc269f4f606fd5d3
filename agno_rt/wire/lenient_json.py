"""JSON for servers: written so that any text can be sent, read so that sloppy answers are accepted. Pure."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from agno_rt.errors import UsageError
from agno_rt.wire._text import mend_value

__all__ = ["read_json", "write_json"]


def write_json(body: Any, model: str) -> bytes:
    """Write the body of a request to `model`. Half a character, as in some file names, is replaced by U+FFFD.

    Raises `UsageError` for values outside JSON: they come from `ModelSettings.extra`.
    """
    try:
        try:
            return msgspec.json.encode(body)
        except UnicodeEncodeError:
            # Half a surrogate pair has no JSON encoding. Replace the half rather than fail the run.
            return msgspec.json.encode(mend_value(body))
    except (TypeError, ValueError, RecursionError) as exc:
        hint = "Look for unusual objects in ModelSettings.extra."
        raise UsageError(f"the request to {model!r} cannot be written as JSON: {exc}", hint=hint) from exc


def read_json(body: bytes) -> Any:
    """Return the value, or `None` for anything but JSON (and for null, never a valid answer).

    Half characters, control characters and NaN are accepted.

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
