"""The errors of web tools. The model sees the text, which says what happened and what to do next."""

from __future__ import annotations

from agno_rt.tools import ToolArgumentError

__all__ = ["AddressRefused", "Broken", "ServiceError", "WebError"]


class WebError(ToolArgumentError):
    """A request without a useful answer. `problem` is the fact, and `hint` the remedy; the text has both."""

    def __init__(self, problem: str, *, hint: str = "") -> None:
        super().__init__(f"{problem}. {hint}" if hint else f"{problem}.")
        self.problem = problem
        self.hint = hint


class AddressRefused(WebError):
    """An address that the settings do not allow. Nothing was sent there."""


class Broken(WebError):
    """A connection without a whole answer. Another attempt may succeed."""


class ServiceError(WebError):
    """A refusal by a service; `status` is the HTTP status."""

    def __init__(self, problem: str, *, hint: str = "", status: int = 0) -> None:
        super().__init__(problem, hint=hint)
        self.status = status
