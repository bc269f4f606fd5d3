"""What a server sets in a process that is its own: the garbage collector, and how many files it may open."""

from __future__ import annotations

import gc

try:
    import resource
except ImportError:  # not a Unix: there is no such limit
    resource = None  # type: ignore[assignment]

__all__ = ["raise_file_limit", "tune_collector"]

# So many objects are new before the collector walks all of them, in place of some 70,000. 50,000 runs that wait are two
# million, and to walk them stops all else for nearly a second. Old garbage in cycles may take some 200 MB until then.
_NEW_OBJECTS = 1_500_000
# Files beside a connection's socket: databases, tools, models behind connections of their own.
_OTHER_FILES = 1_000


def tune_collector() -> None:
    """Let the garbage collector leave alone what is there now, and walk all the rest seldom.

    The young objects are walked as often as ever, and most garbage is young. Call it when everything is loaded.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    if young and middle:  # 0 is off
        gc.set_threshold(young, middle, max(1, _NEW_OBJECTS // (young * middle)))


def raise_file_limit(connections: int) -> None:
    """Let the process open a file for each of the connections and some more, as far as the system lets it."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return  # the system has a bound of its own; where it is met, the idlest connections are closed
