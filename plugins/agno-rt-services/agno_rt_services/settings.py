"""The settings of a service: the table `[plugins.services.NAME]`."""

from __future__ import annotations

from typing import Any, Literal, get_args

import attrs

from agno_rt.errors import UsageError
from agno_rt.http_client.server import HttpServer

__all__ = ["Approve", "ServiceSettings", "check_approve"]

Approve = Literal["changes", "all", "none"]


def _check_number(settings: object, field: Any, value: float) -> None:
    if not value >= 0:
        raise UsageError(f"{field.name} is {value!r}", hint="Give a number of at least 0.")


def check_approve(settings: object, field: Any, value: str) -> None:
    """Raise `UsageError` for anything but a word of `Approve`: a validator of attrs."""
    if value not in get_args(Approve):
        raise UsageError(f"approve is {value!r}", hint=f"Write one of {', '.join(map(repr, get_args(Approve)))}.")


@attrs.frozen(kw_only=True, slots=False)
class ServiceSettings(HttpServer):
    """The address, the account and the bounds of a service, beside the fields of `HttpServer`.

    Attributes:
        user: the name or the e-mail address of the account: the key is sent as its password. Without a user, the key is
            sent as a bearer token
        timeout: the most seconds of one call, with its repetitions
        retries: how often a call is repeated that the service refused for the moment
        longest_wait: the most seconds to wait before a repetition; a longer wait is told to the model
        most_bytes: the most bytes of an answer
        approve: the tools that wait for a person: `changes`, `all` or `none`
        read_only: leave out the tools that change something
        only: the names of the tools to keep; empty for all
    """

    read_timeout: float = 30.0
    max_connections: int = 10
    max_waiting: int = 100
    user: str = ""
    timeout: float = 60.0
    retries: int = attrs.field(default=2, validator=_check_number)
    longest_wait: float = attrs.field(default=20.0, validator=_check_number)
    most_bytes: int = attrs.field(default=5_000_000, validator=_check_number)
    approve: Approve = attrs.field(default="changes", validator=check_approve)
    read_only: bool = False
    only: tuple[str, ...] = attrs.field(default=(), converter=tuple)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if not 0 < self.timeout < float("inf"):
            raise UsageError(f"timeout is {self.timeout!r}", hint="Give seconds above 0.")
        if not (self.user.isprintable() and ":" not in self.user):
            raise UsageError("user has characters that cannot be sent", hint="Give a name or an e-mail address.")
