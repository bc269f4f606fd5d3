"""Listening sockets: made from a host and a port, or taken over by their numbers. Knows no HTTP."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress

from agno_rt.errors import UsageError

__all__ = ["Address", "adopt", "bind", "bind_unix", "name_of", "remove_unix"]

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


def bind_unix(path: str, mode: int = 0o660) -> socket.socket:
    """Listen on a Unix socket with these permissions. Replaces a socket on which nobody listens any more.

    Raises `UsageError` if another process listens there, or if something else has the path.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Without the mask others could connect between the binding and a change of mode.
    before = os.umask(0o777 & ~mode)
    try:
        _remove_stale(path)
        sock.bind(path)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as exc:
        sock.close()
        hint = "Choose another path with --unix, or stop what uses it."
        raise UsageError(f"cannot listen on {path}: {exc.strerror or exc}", hint=hint) from exc
    finally:
        os.umask(before)
    return sock


def remove_unix(path: str) -> None:
    """Remove a Unix socket on which nobody listens any more."""
    with suppress(OSError):  # another server has it by now, or it is gone
        _remove_stale(path)


def name_of(sock: socket.socket) -> Address:
    """Return the address on which the socket listens: host and port, or the path and 0."""
    name = sock.getsockname()
    return (name, 0) if isinstance(name, str) else name[:2]


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "a file that is not a socket is there")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        try:
            other.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise OSError(errno.EADDRINUSE, "another process listens there")


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
