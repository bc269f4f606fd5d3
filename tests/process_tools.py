"""Tools that run in a process of their own. The process imports this module, so only such tools are here."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import attrs

from agno_rt.media import image
from agno_rt.messages import Media
from agno_rt.tools import ToolArgumentError, tool


@attrs.define
class Point:
    """A point in the plane."""

    x: int
    y: int = 0


@tool(process=True)
def where() -> int:
    """Return the id of the tool's process."""
    return os.getpid()


@tool(process=True)
def mirror(point: Point) -> Point:
    """Swap the coordinates."""
    return Point(point.y, point.x)


@tool(process=True, timeout=2)
def spin(file: str) -> None:
    """Write down the process id, and never end."""
    Path(file).write_text(str(os.getpid()), encoding="utf-8")
    while True:
        pass


@tool(process=True)
def spin_on(file: str) -> None:
    """Spin without a deadline."""
    spin(file)


@tool(process=True, retries=1)
def die(file: str, how: str) -> str:
    """End the process at the first call."""
    asked = Path(file)
    if asked.exists():
        return "alive"
    asked.touch()
    if how == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        sys.exit("enough")
    os._exit(3)


@tool(process=True)
def crash() -> str:
    """End the process."""
    os._exit(3)


@tool(process=True)
def leave() -> str:
    """Ask for the end of the program."""
    sys.exit("enough")


@tool(process=True)
def fail() -> str:
    """Fail with an exception unknown to other processes."""

    class Own(Exception):
        """An exception that cannot be pickled."""

    raise Own("by itself")


@tool(process=True)
def refuse() -> str:
    """Refuse the arguments."""
    raise ToolArgumentError("Say please.")


@tool(process=True)
def odd() -> object:
    """Return an object without a text."""
    return object()


@tool(process=True)
def draw() -> list[str | Media]:
    """Return a picture."""
    return ["a dot", image(b"\x89PNG\r\n\x1a\n" + bytes(32), name="dot.png")]


@tool(process=True, batch=True)
def double(numbers: list[int]) -> list[int]:
    """Double a number."""
    return [number * 2 for number in numbers]


def original() -> str:
    """Serve as a tool under another name, so that both names can be found."""
    return "original"


renamed = tool(process=True, name="renamed")(original)


def _make_lost() -> None:
    """Make a tool whose function cannot be found: another function has the name."""


lost = tool(process=True, name="lost")(_make_lost)


def _make_lost() -> None:  # type: ignore[no-redef]  # the point of it
    """Take the name of the tool's function."""
