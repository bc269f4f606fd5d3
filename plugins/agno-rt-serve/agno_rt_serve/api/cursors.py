"""Places in lists that are shown by page, as text for a URL. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeAlias

import msgspec

from agno_rt_serve.errors import HttpError

__all__ = ["Place", "make_cursor", "make_source_cursor", "read_cursor", "read_source_cursor"]

Place: TypeAlias = tuple[float, str]
"""The time of the last entry that was shown, and its id."""


def make_cursor(at: float, id: str) -> str:
    """Return the place in a list by time as text for a URL."""
    return _encode((at, id))


def read_cursor(text: str) -> Place:
    """Return the place in a list by time. Raises `HttpError` 400 for any other text."""
    place: Place = _decode(text, Place, "before")
    return place


def make_source_cursor(source: str, user: str | None) -> str:
    """Return the place in a list of documents as text for a URL."""
    return _encode((source, user))


def read_source_cursor(text: str) -> tuple[str, str | None]:
    """Return the place in a list of documents. Raises `HttpError` 400 for any other text."""
    place: tuple[str, str | None] = _decode(text, tuple[str, str | None], "after")
    return place


def _encode(place: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _decode(text: str, kind: Any, name: str) -> Any:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as exc:
        hint = "Send the `next` of the page before."
        raise HttpError(400, "invalid_query", f"{name!r} is not a place in the list", hint) from exc
