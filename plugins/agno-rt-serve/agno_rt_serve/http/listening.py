"""Listening sockets: made from a host and a port, or taken over by their numbers. Knows no HTTP."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Sequence

from agno_rt.errors import UsageError

__all__ = ["Address", "adopt", "bind"]

Address = tuple[str, int]

_BACKLOG = 2_048


def bind(host: str, port: int) -> list[socket.socket]:
    """Listen on all addresses of the host; port 0 takes a free port. Raises `UsageError` if that fails."""
    sockets: list[socket.socket] = []
    try:
        for family, address in _resolve_addresses(host, port):
            # Port 0 takes a free port, and the host's other addresses take the same one.
            chosen = port or (sockets[0].getsockname()[1] if sockets else 0)
            sock = socket.create_server((address, chosen), family=family, backlog=_BACKLOG)
            sock.setblocking(False)
            sockets.append(sock)
    except OSError as exc:
        for sock in sockets:
            sock.close()
        raise _explain_bind_error(host, port, exc) from exc
    return sockets


def adopt(numbers: Sequence[int]) -> list[socket.socket]:
    """Return the listening sockets that another process made and passed on. Child processes do not inherit them."""
    for number in numbers:
        os.set_inheritable(number, False)
    return [socket.socket(fileno=number) for number in numbers]


def _resolve_addresses(host: str, port: int) -> Iterable[tuple[socket.AddressFamily, str]]:
    flags = socket.AI_PASSIVE | socket.AI_ADDRCONFIG if host == "localhost" else socket.AI_PASSIVE
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=flags)
    return dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found)


def _explain_bind_error(host: str, port: int, exc: OSError) -> UsageError:
    if isinstance(exc, socket.gaierror):
        return UsageError(f"cannot listen on {host!r}: no such host", hint="Try --host 127.0.0.1.")
    if exc.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65_535 else port - 1
        hint = f"Stop what uses it, or take another: --port {other}, or --port 0 for any that is free."
        return UsageError(f"port {port} on {host} is in use", hint=hint)
    if exc.errno == errno.EACCES:
        return UsageError(
            f"port {port} on {host} may not be used by this user", hint="Take one from 1024 up: --port 7777."
        )
    if exc.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"{host} is not an address of this machine", hint="Try --host 127.0.0.1, or 0.0.0.0 for all.")
    return UsageError(f"cannot listen on {host} port {port}: {exc}", hint="Choose with --host and --port.")
