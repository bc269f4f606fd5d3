"""The check of `agno-rt doctor`: whether the server could listen on its port now."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from agno_rt.readiness import Finding
from agno_rt_serve.settings import Settings

__all__ = ["check_port"]


def check_port(settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield whether the port of the settings is free; nothing for port 0, which takes a free one."""
    usual = Settings()
    address, port = settings.get("host", usual.host), settings.get("port", usual.port)
    if port == 0:
        return
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            # As the server does: without the option a port that was just closed counts as used for a minute.
            if os.name == "posix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
    except (OSError, TypeError, OverflowError) as exc:
        hint = "Perhaps a server is running already. `agno-rt serve --port 0` chooses a free port."
        yield Finding("warning", f"port {port} of {address} cannot be used: {exc}", hint)
    else:
        yield Finding("note", f"port {port} is free for `agno-rt serve`")
