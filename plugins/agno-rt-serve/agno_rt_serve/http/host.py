"""A connection's view of its server, and the record of an answered request. Knows neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import attrs

from agno_rt_serve.http.asgi import ASGIApp
from agno_rt_serve.http.budget import Budget
from agno_rt_serve.http.protocol import Request
from agno_rt_serve.http.proxies import Proxies
from agno_rt_serve.settings import Settings

__all__ = ["Access", "AccessLog", "Host"]


@attrs.frozen
class Access:
    """An answered request, for the log: `status` 0 if the client left first, `sent` in bytes, with the head."""

    request: Request
    client: str
    status: int
    seconds: float
    sent: int


class Host(Protocol):
    """A connection's view of its server. `now` is the trio clock at the last tick, `date` the HTTP date."""

    app: ASGIApp
    settings: Settings
    budget: Budget
    proxies: Proxies | None
    state: dict[str, Any]
    draining: bool
    closes_idle: bool
    now: float
    date: bytes
    access_log: AccessLog | None


AccessLog: TypeAlias = Callable[[Access], None]
