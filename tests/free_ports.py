"""Ports for servers that a test starts by number.

A port that the system chose and that was closed again may be a client's, or another test's server's, by the time the
server listens. So these ports are outside of the range from which the system chooses.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _SYSTEM_CHOOSES_FROM = 10_000, 32_768
_TRIES = 1_000


def find_free_port() -> int:
    """Return a free port that the system gives to nobody."""
    lowest = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else _SYSTEM_CHOOSES_FROM
    # By the system's own chance: test processes whose seeds are alike must not choose alike.
    chance = random.SystemRandom()
    for _ in range(_TRIES):
        port = chance.randrange(_LOWEST, lowest)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError(f"no free port between {_LOWEST} and {lowest}")
