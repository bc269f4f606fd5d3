"""Questions from one worker to all others, for pages about the whole server such as `/metrics`. Knows no route.

Each worker also listens on a private Unix socket in a folder of the parent. The answers are kept there: what a worker
that has ended had counted still counts.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import trio

from agno_rt_serve.http.asgi import Scope
from agno_rt_serve.http.listening import bind_unix

try:
    import fcntl
except ImportError:  # not a Unix, and so without workers
    fcntl = None  # type: ignore[assignment]

__all__ = ["ALONE", "Fold", "Siblings"]

Fold: TypeAlias = Callable[[Sequence[bytes]], bytes]

ALONE = b"x-agno-worker"
"""The header of a question from a sibling: answer for this worker alone."""

# Seconds for a sibling to answer; one that is busy for longer counts with its last answer.
_PATIENCE = 5.0
_PASSED_ON = (b"authorization", b"cookie")
_LONGEST = 50_000_000


class Siblings:
    """The workers of a server, as one of them sees the others. `listener` is to be served beside the others."""

    def __init__(self, folder: str, number: int) -> None:
        self._folder = Path(folder)
        self._own = self._folder / f"{number}-{os.getpid()}.sock"
        self.listener: socket.socket = bind_unix(str(self._own), 0o600)

    async def collect(self, scope: Scope, path: str, fold: Fold, own: bytes = b"") -> list[bytes] | None:
        """Return the others' answers to a GET of the path, and one for all workers that have ended.

        `fold` makes one answer of several. Returns None if the request is such a question itself. `own` is this
        worker's answer, which counts on when this worker is killed.
        """
        if any(name == ALONE for name, _ in scope["headers"]):
            return None
        name = re.sub(r"\W", "_", path)
        passed = [(key, value) for key, value in scope["headers"] if key in _PASSED_ON]
        answers: list[bytes] = []
        if own:
            _keep(self._own.with_name(f"{self._own.stem}.{name}"), own)

        async def ask(place: Path) -> None:
            kept = place.with_name(f"{place.stem}.{name}")
            answer = await _ask(place, path, passed)
            if answer is not None:
                _keep(kept, answer)
            elif kept.exists() and _is_alive(place):
                answer = kept.read_bytes()  # it has too much to do right now
            if answer is not None:
                answers.append(answer)

        async with trio.open_nursery() as nursery:
            for place in self._folder.glob("*.sock"):
                if place != self._own:
                    nursery.start_soon(ask, place)
        ended = self._fold_ended(name, fold)
        return [*answers, ended] if ended else answers

    def _fold_ended(self, name: str, fold: Fold) -> bytes:
        """Put the last answers of ended workers together with those before."""
        total = self._folder / f"ended.{name}"
        with _hold_lock(self._folder / "lock"):
            ended = [kept for kept in self._folder.glob(f"[0-9]*.{name}") if not _is_alive(kept)]
            if ended:
                before = [total.read_bytes()] if total.exists() else []
                _keep(total, fold([*before, *(kept.read_bytes() for kept in ended)]))
                for kept in ended:
                    kept.unlink()
            return total.read_bytes() if total.exists() else b""


def _is_alive(place: Path) -> bool:
    """Return whether the worker of the file is there; its name has the process's id."""
    try:
        os.kill(int(place.name.partition(".")[0].partition("-")[2]), 0)
    except ProcessLookupError:
        return False
    return True


def _keep(place: Path, data: bytes) -> None:
    new = place.with_name(f"new-{os.getpid()}-{place.name}")
    new.write_bytes(data)
    new.replace(place)


async def _ask(place: Path, path: str, headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """Return the body of an answer with status 200; None for any other, and if nobody answers."""
    lines = [f"GET {path} HTTP/1.0\r\nHost: localhost".encode(), ALONE + b": 1"]
    lines += [name + b": " + value for name, value in headers]
    answer = b""
    with trio.move_on_after(_PATIENCE), suppress(OSError):
        async with await trio.open_unix_socket(str(place)) as stream:
            await stream.send_all(b"\r\n".join(lines) + b"\r\n\r\n")
            # Over HTTP/1.0 the end of the connection is the end of the answer.
            while len(answer) < _LONGEST and (data := await stream.receive_some()):
                answer += data
            head, _, body = answer.partition(b"\r\n\r\n")
            return body if b" 200 " in head.partition(b"\r\n")[0] else None
    return None


@contextmanager
def _hold_lock(place: Path) -> Iterator[None]:
    with place.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
