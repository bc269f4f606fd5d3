"""The log of the server: structlog's, and for `json` that of the standard library too.

Paths, errors and tools' texts come from elsewhere. No character in them can steer the terminal that shows the log, or
pass for a separate line.
"""

from __future__ import annotations

import functools
import logging
import re
import sys
from typing import Any, Literal

import msgspec

__all__ = ["load", "redact_query", "write"]

_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Names of secrets in a query, and values that look like keys: known beginnings, JSON web tokens, long random words.
_SECRET_NAME = re.compile("(?i)key|token|secret|passw|auth|credential|sign|sig$|^code$|^state$|jwt|cookie")
_SECRET_VALUE = re.compile(
    r"(?i)^(?:(?:sk|pk|rk|gh[a-z]|glpat|xox[a-z]|hf|npm|pypi|akia)[-_]?\w|ey[a-z0-9_-]+\.|bearer\b|basic\b)"
)
_RANDOM = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w.~+/=-]{32,}")
_UUID = re.compile(r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def load(form: Literal["console", "json"] = "console") -> None:
    """Load structlog now: loading it at the first line would keep other requests waiting.

    `json` makes each line one object, unless the application has configured structlog itself.
    """
    import structlog

    if form == "json":
        if not structlog.is_configured():
            structlog.configure(
                processors=[
                    structlog.contextvars.merge_contextvars,
                    structlog.processors.add_log_level,
                    structlog.processors.TimeStamper("iso", utc=True),
                    structlog.processors.format_exc_info,
                    structlog.processors.JSONRenderer(serializer=_encode),
                ]
            )
        if not logging.getLogger().handlers:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(_JsonFormatter())
            logging.getLogger().addHandler(handler)
    _get_logger()


def redact_query(query: bytes) -> str:
    """Return a request's query without the values that may be secrets."""
    pairs = query.decode("latin-1").split("&") if query else []
    return "&".join(map(_redact_pair, pairs))


def _redact_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    is_random = _RANDOM.fullmatch(value) is not None and _UUID.fullmatch(value) is None
    if value and (is_random or _SECRET_NAME.search(name) or _SECRET_VALUE.match(value)):
        value = "..."
    # A pair without a name may be a key, too.
    return f"{name}{equals}{value}" if equals or not _RANDOM.fullmatch(name) else "..."


def _encode(values: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(values, enc_hook=str).decode()


class _JsonFormatter(logging.Formatter):
    """Formats a line of the standard library's log like structlog's."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one object."""
        values = {"event": record.getMessage(), "level": record.levelname.lower(), "logger": record.name}
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        stamp = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        return _encode(values | {"timestamp": stamp})


def write(level: Literal["info", "warning", "error"], event: str, **values: object) -> None:
    """Write a line; `exception` is a text that may have several lines."""
    cleaned = {name: _escape_steering(value) if isinstance(value, str) else value for name, value in values.items()}
    if isinstance(exception := values.get("exception"), str):
        cleaned["exception"] = "\n".join(map(_escape_steering, exception.split("\n")))
    getattr(_get_logger(), level)(event, **cleaned)


def _escape_steering(text: str) -> str:
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


@functools.cache
def _get_logger() -> Any:
    import structlog  # for servers, and not for `agno-rt serve --help`

    return structlog.get_logger("agno_rt.serve")
