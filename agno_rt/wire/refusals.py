"""A server's refusals as `ModelError`: statuses, error bodies, errors within a stream, and waits. Pure.

Errors quote the server on one line, up to a maximum length, without secrets.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import quote, quote_plus, unquote_plus

import attrs

from agno_rt.errors import ContextOverflow, ModelError
from agno_rt.wire._text import mend_value
from agno_rt.wire.lenient_json import read_json

__all__ = [
    "MAX_TEXT",
    "MOST_SECONDS",
    "ErrorReader",
    "Peer",
    "describe_error",
    "kind_of",
    "plain",
    "refusal",
    "reported",
    "request_id",
    "retry_after",
]

MAX_TEXT = 500
"""Characters of the server's own words in a message."""

MOST_SECONDS = 86_400.0
"""The longest wait to accept."""

_RETRYABLE = frozenset({408, 409, 425, 429})
_PASSING = ("overload", "rate_limit", "server_error", "internal", "unavailable", "timeout", "too_many_requests")
"""Parts of error kinds that pass with time."""
_TEXTS = ("message", "detail", "error_msg", "error_message", "errmsg", "msg", "errors")
_TOO_MANY = 429
_NO_CREDIT = ("insufficient_quota", "billing_not_active", "exceeded_current_quota_error")
"""Kinds of a 429 that waiting does not mend: two of OpenAI, and one of Moonshot."""

_BAD_SAMPLES = ("tool_use_failed", "json_validate_failed")
"""Kinds of a refusal of the model's own answer (Groq, with 400): another answer to the same request may be good."""

_SECRET_LENGTH = 8
_REQUEST_IDS = (
    *("x-request-id", "request-id", "x-amzn-requestid", "x-goog-request-id", "x-ms-request-id", "x-debug-trace-id"),
    "cf-ray",
)
"""Headers with the number of a request, by which a service finds the request in its own logs."""

_MOST_ID = 200
"""The longest number of a request to keep: a number stands in events and logs."""

ErrorReader: TypeAlias = Callable[[Any], tuple[Any, str]]
"""Returns the words of an error object and the error's kind in small letters; both are empty for anything else."""


def describe_error(error: Any) -> tuple[Any, str]:
    """Return the words and the kind of an error object in the form of OpenAI or of one of its relatives."""
    if not isinstance(error, dict):
        return (error if isinstance(error, str) else ""), ""
    text = next(filter(None, map(error.get, _TEXTS)), "")
    kinds = (error.get(name) for name in ("code", "type", "status"))
    return text, next((kind.lower() for kind in kinds if isinstance(kind, str) and not kind.isdecimal()), "")


@attrs.frozen(kw_only=True)
class Peer:
    """The asked server, for errors: the model, the provider and the address. `secrets` are cut out of errors.

    `key_source` says where the API key comes from, and `request_id` is the service's number for the request.
    `read_error` reads the service's error objects.
    """

    name: str
    provider: str
    model: str
    url: str
    key_source: str = "nowhere"
    request_id: str = ""
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)
    read_error: ErrorReader = describe_error

    def error(
        self,
        problem: str,
        *,
        hint: str = "",
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        kind: type[ModelError] = ModelError,
    ) -> ModelError:
        """Make an error about this server; `kind` is its class."""
        return kind(
            self.without_secrets(f"{self.name} {problem}"),
            hint=self.without_secrets(hint),
            provider=self.provider,
            status=status,
            retryable=retryable,
            retry_after=retry_after,
        ).of_request(self.request_id)

    def without_secrets(self, text: str) -> str:
        """Cut each secret out of the text."""
        # Servers quote refused values. Very short secrets stay: cutting them would leave holes in plain words.
        for secret in sorted(_list_spellings(self.secrets), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def _list_spellings(secrets: Iterable[str]) -> set[str]:
    """Return each secret as a server may quote the secret: whole, as single words of a header, and percent-encoded."""
    words = {word for secret in secrets for word in (secret, *secret.split())}
    escaped = {form for word in words for form in (quote(word, safe=""), quote_plus(word), unquote_plus(word))}
    return {word for word in words | escaped if len(word) >= _SECRET_LENGTH}


def refusal(peer: Peer, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ModelError:
    """Make the error for an answer without a status of success. `now` is the time in seconds since 1970."""
    peer = attrs.evolve(peer, request_id=request_id(headers))
    text, kind = _read_error_text(body, headers.get("content-type", ""), peer)
    no_credit = kind in _NO_CREDIT
    phrase = _find_phrase(status)
    wait = retry_after(headers, now)
    if wait is None and status == _TOO_MANY:
        wait = _find_reset_wait(headers, now)
    return peer.error(
        f"answered {status}{f' {phrase}' if phrase else ''}{f': {text}' if text else ''}",
        hint="The account has no credit left; waiting does not help."
        if no_credit
        else _suggest_fix(peer, status, headers),
        status=status,
        retryable=(status in _RETRYABLE or status >= 500 or kind in _BAD_SAMPLES) and not no_credit,
        retry_after=wait,
        kind=_choose_class(status, text, kind),
    )


_OVERFLOW_KINDS = ("context_length_exceeded", "exceed_context_size", "model_context_window_exceeded")
_OVERFLOW = re.compile(
    r"context (length|window|size|limit)|maximum (context|prompt)|(prompt|input|request) (is )?too (long|large)"
    r"|(prompt|input length \d{1,12}) exceeds (the )?max|exceeded model token limit|range of input length"
    r"|input token count .{0,80}exceeds|too many (input )?tokens"
    r"|exceeds? the (available|maximum) (context|number of tokens)"
    r"|(reduce|shorten) (the length of )?(the|your) (messages|prompt|input)",
    re.IGNORECASE,
)
"""Words of services for a request that is too large: OpenAI, vLLM, llama.cpp, Anthropic, Gemini, Bedrock, Cohere, xAI,
Moonshot, DashScope, GLM, Volcano Engine."""


def _choose_class(status: int | None, text: str, kind: str) -> type[ModelError]:
    """Return `ContextOverflow` for a refusal of a request that is too large for the model's context."""
    if any(part in kind for part in _OVERFLOW_KINDS):
        return ContextOverflow
    # A limit of tokens a minute (429) passes with time, and is told in similar words.
    return ContextOverflow if status in (400, 413, 422, None) and _OVERFLOW.search(text) else ModelError


def _find_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def request_id(headers: Mapping[str, str]) -> str:
    """Return the service's number for the request, empty without a number."""
    number = next(filter(None, map(headers.get, _REQUEST_IDS)), "")
    return number[:_MOST_ID] if number.isprintable() else ""


def reported(peer: Peer, error: Any) -> ModelError:
    """Make the error for an error that the server reports with status 200, alone or in the middle of an answer."""
    inner = error.get("error") if isinstance(error, dict) else None
    error = inner or error
    text, kind = _explain_error(error, peer)
    status = _find_status(error)
    passing = any(part in kind for part in _PASSING) if status is None else status in _RETRYABLE or status >= 500
    return peer.error(
        f"reported an error: {text}",
        status=status,
        retryable=(passing or kind in _BAD_SAMPLES) and kind not in _NO_CREDIT,
        kind=ModelError if passing else _choose_class(status, text, kind),
    )


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds from `now` that the server asks to wait, or `None` without a valid wait.

    At most a day: a rate limiter obeys the wait, and would never ask again after an absurd value.
    """
    if (milliseconds := _parse_number(headers.get("retry-after-ms", ""))) is not None:
        return min(MOST_SECONDS, milliseconds / 1000)
    value = headers.get("retry-after", "").strip()
    seconds = _parse_number(value)
    if seconds is not None or not value:
        return None if seconds is None else min(MOST_SECONDS, seconds)
    # Dates are rare, and the module for them takes milliseconds to load.
    from email.utils import parsedate_to_datetime

    try:
        return _seconds_until(parsedate_to_datetime(value), now)
    except (ValueError, OverflowError):
        return None


def _seconds_until(date: datetime, now: float) -> float:
    # HTTP dates are in GMT, whatever the local zone; some servers leave the zone out.
    seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    return min(MOST_SECONDS, max(0.0, seconds))


def _find_reset_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds until the used-up rate limits are refilled, from their headers; the longest of several waits.

    A limit with a remainder did not refuse the request.
    """
    waits: list[float] = []
    for name, value in headers.items():
        before, reset, behind = name.lower().partition("ratelimit-reset")
        if not reset or before not in ("", "x-") or headers.get(f"{before}ratelimit-remaining{behind}", "0") != "0":
            continue
        seconds = _parse_wait(value.strip(), now)
        waits += [] if seconds is None else [seconds]
    return min(MOST_SECONDS, max(waits)) if waits else None


def _parse_wait(text: str, now: float) -> float | None:
    """Parse seconds from a number, a time since 1970 (in seconds or milliseconds), a span (`6m0s`) or an ISO date."""
    number = _parse_number(text)
    if number is not None:
        if number > _EPOCH_SECONDS:
            number = max(0.0, (number / 1000 if number > _EPOCH_MILLISECONDS else number) - now)
        return number
    if _DURATION.fullmatch(text):
        return sum(float(count) * _UNITS[unit] for count, unit in _AMOUNT.findall(text))
    try:
        return _seconds_until(datetime.fromisoformat(text), now)
    except (ValueError, OverflowError):
        return None


_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_AMOUNT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|[dhms])")
_DURATION = re.compile(f"(?:{_AMOUNT.pattern})+")
_EPOCH_SECONDS, _EPOCH_MILLISECONDS = 1e9, 1e12
"""Larger numbers are points in time, not waits."""


def _suggest_fix(peer: Peer, status: int, headers: Mapping[str, str]) -> str:
    if status in (401, 403):
        if peer.key_source == "nowhere":
            return "No API key was sent. Name the variable that holds it: api_key_env."
        return f"Check the API key; it came from {peer.key_source}."
    if status == 404:
        return f"Check the model's name, {peer.model!r}, and base_url: the request went to {peer.url}."
    if 300 <= status < 400:
        address = plain(headers.get("location", "another address"), peer)
        return f"base_url leads on to {address!r}. Write the final address there."
    return ""


def _read_error_text(body: bytes, content_type: str, peer: Peer) -> tuple[str, str]:
    """Return the server's own words and the error's kind."""
    value = read_json(body)
    if value is None:
        return (plain(body, peer) if kind_of(body, content_type) != "a web page" else _read_title(body, peer)), ""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return plain(body, peer), ""
    error = value.get("error")
    return _explain_error(error or value, peer) if error or peer.read_error(value)[0] else (plain(body, peer), "")


def _explain_error(error: Any, peer: Peer) -> tuple[str, str]:
    """Return the words of an error of any type, fit for a message, and the error's kind."""
    text, kind = peer.read_error(error)
    text = text or error
    return plain(text if isinstance(text, str) else _write_json(text), peer), kind


def _find_status(error: Any) -> int | None:
    """Return the HTTP status named in an error, as a number or a text."""
    named = (
        (error.get(name) for name in ("code", "status", "status_code", "error_code")) if isinstance(error, dict) else ()
    )
    for code in named:
        number = int(code) if isinstance(code, str) and re.fullmatch("[45][0-9][0-9]", code.strip()) else code
        if isinstance(number, int | float) and 400 <= number < 600:
            return int(number)
    return None


def _write_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def plain(text: str | bytes, peer: Peer) -> str:
    """Make the server's text fit for one line of a message: of bounded length, and without secrets."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    # Remove secrets before cutting: neither half of a cut secret would be recognised.
    text = peer.without_secrets(mend_value(text))[: MAX_TEXT * 8]
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= MAX_TEXT else f"{line[:MAX_TEXT]}..."


def _read_title(body: bytes, peer: Peer) -> str:
    title = re.search(rb"<title[^>]{0,100}>([^<]{0,500})<", body[:20_000], re.IGNORECASE)
    return f"a web page, {plain(title[1], peer)!r}" if title else "a web page"


def kind_of(body: bytes, content_type: str) -> str:
    """Describe a body that is not JSON."""
    if not body.strip():
        return "nothing"
    start = body[:200].lstrip().lower()
    return "a web page" if "html" in content_type or start.startswith((b"<!doctype", b"<html")) else "text"


def _parse_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
