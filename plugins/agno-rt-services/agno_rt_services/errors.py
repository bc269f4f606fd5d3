"""The failures of services, in words that a model can act on: what happened, and whether to try again."""

from __future__ import annotations

import math
from typing import Any

from agno_rt.errors import AgnoError, ModelError

__all__ = ["ServiceError", "explain_failure", "read_problem"]

_UNSENT = ("ConnectError", "ConnectTimeout", "ProxyError")
"""Failures of the HTTP client before the first byte of a request is sent."""

_UNCERTAIN = "It is not known whether the change was made: look before you repeat the call."
_HINTS = {
    400: "Correct the arguments.",
    403: "The account may not do this. Do without it, or tell the user.",
    404: "Nothing has this name, or the account may not see it. Look for the right name first.",
    409: "This does not fit the present state. Read the state before the next change.",
    410: "This is gone, or the service has moved it.",
    413: "Send less at once.",
    422: "Correct the arguments.",
}


class ServiceError(AgnoError):
    """A service refused a call, or cannot be reached.

    Attributes:
        status: the HTTP status, or `None` without an answer
        retry_after: the seconds that the service asks to wait, if any
    """

    code = "service"
    http_status = 502

    def __init__(
        self, message: str, *, hint: str = "", status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after = retry_after


def explain_failure(error: ModelError, source: str, *, changes: bool) -> ServiceError:
    """Return the error of a failed call for the model.

    Args:
        error: the failure, as the HTTP client tells it
        source: the source of the key, such as an environment variable
        changes: the call would have changed something
    """
    hint = _choose_hint(error, source)
    if changes and _may_be_done(error):
        hint = f"{hint} {_UNCERTAIN}".strip()
    return ServiceError(error.message, hint=hint, status=error.status, retry_after=error.retry_after)


def _choose_hint(error: ModelError, source: str) -> str:
    status, wait = error.status, error.retry_after
    if status == 429 or (status is not None and wait is not None):
        return (
            f"Wait {math.ceil(wait)} s before the next call." if wait else "Too many calls: wait before the next one."
        )
    if status == 401:
        return f"The key from {source} is refused: a person has to replace it. Another call does not help."
    if status is not None and status >= 500:
        return "The service is in trouble. Try later, or tell the user."
    return _HINTS.get(status, error.hint) if status is not None else error.hint


def _may_be_done(error: ModelError) -> bool:
    """Tell whether the service may have carried out the call all the same."""
    if error.status is not None:
        return error.status >= 500
    return type(error.__cause__).__name__ not in _UNSENT


def read_problem(error: Any) -> tuple[Any, str]:
    """Return the words of a service's error body, and an empty kind.

    The bodies of Atlassian, Google, Airflow, GitHub and Bitbucket have the words under these names.
    """
    if not isinstance(error, dict):
        return (error if isinstance(error, str) else ""), ""
    words: list[str] = []
    _collect_words(error, words)
    return "; ".join(dict.fromkeys(words)), ""


_NAMES = ("message", "errorMessages", "title", "detail", "error_description", "msg", "errors", "error")


def _collect_words(value: Any, words: list[str], depth: int = 0) -> None:
    if isinstance(value, str):
        words += [value] if value.strip() else []
    elif isinstance(value, list):
        for each in value[:5]:
            _collect_words(each, words, depth + 1)
    elif isinstance(value, dict) and depth < 4:
        known = [name for name in _NAMES if value.get(name)]
        for name in known:
            _collect_words(value[name], words, depth + 1)
        # Jira names the wrong fields: {"errors": {"started": "..."}}.
        if not known:
            words += [f"{name}: {text}" for name, text in value.items() if isinstance(text, str)]
