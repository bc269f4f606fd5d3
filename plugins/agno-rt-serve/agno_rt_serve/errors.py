"""What the server refuses and how it says so, in JSON. Pure: knows neither sockets nor routes."""

from __future__ import annotations

import math

import msgspec

from agno_rt.errors import AgnoError, Overloaded

__all__ = ["HttpError", "describe", "error_body"]


class HttpError(Exception):
    """A request that is answered with an error: its HTTP status, a stable code, what is wrong and what to do.

    `headers` go out with the answer (`Allow`, `Retry-After`).
    """

    def __init__(
        self, status: int, code: str, message: str, hint: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.headers = headers


def error_body(error: HttpError) -> bytes:
    """The JSON that every route but those under /v1 answers an error with."""
    return msgspec.json.encode({"error": {"code": error.code, "message": error.message, "hint": error.hint}})


def describe(error: AgnoError) -> HttpError:
    """One of the runtime's errors as an answer; one that may be tried again says when."""
    return HttpError(error.http_status, error.code, error.message, error.hint, _retry_after(error))


def _retry_after(error: AgnoError) -> tuple[tuple[bytes, bytes], ...]:
    seconds = 1.0 if isinstance(error, Overloaded) else getattr(error, "retry_after", None)
    return () if seconds is None else ((b"retry-after", b"%d" % max(1, math.ceil(seconds))),)
