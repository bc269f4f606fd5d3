"""Sessions as JSON lines: written completely or not at all, and read with errors naming the line. Opens no memory."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from agno_rt.errors import UsageError
from agno_rt.media import check_content
from agno_rt.memory import Session, SessionInfo
from agno_rt.messages import Message
from agno_rt.names import check_name

__all__ = ["SessionRecord", "make_seekable", "open_output", "read_sessions", "session_line"]

_SPOOLED = 2**24
"""The most bytes of standard input to hold in memory; more go to a temporary file."""


class SessionRecord(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A session on a line. `data` is the state and summary in the memory's format; bytes are in base64."""

    id: str
    messages: tuple[Message, ...] = ()
    user: str | None = None
    data: bytes = b""
    title: str = ""
    agent: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SessionRecord).decode


def session_line(session: Session, info: SessionInfo | None) -> bytes:
    """Return the session as a line, with the title and the agent of `info`."""
    title, agent = ("", "") if info is None else (info.title, info.agent)
    return _encode(SessionRecord(session.id, tuple(session.messages), session.user, session.data, title, agent)) + b"\n"


def read_sessions(file: IO[bytes], name: str, user: str | None = None) -> Iterator[tuple[int, SessionRecord]]:
    """Yield the number and the session of each line, from the file's beginning. Raises `UsageError` with the line.

    A session without an owner becomes the `user`'s, unless `None`.
    """
    file.seek(0)
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            kept = _decode(line)
            check_name("the session's id", kept.id)
            kept.user = user if kept.user is None else kept.user
            if kept.user is not None:
                check_name("the user's name", kept.user)
            if kept.agent:
                check_name("the agent's name", kept.agent)
            if user not in (None, kept.user):
                raise UsageError("the session belongs to another user", hint="Leave the line out, or --user.")
            for message in kept.messages:
                check_content(message.content)
        except (msgspec.MsgspecError, UnicodeError) as exc:
            hint = "Each line must be a session, as written by `agno-rt sessions export`. Nothing was stored."
            raise UsageError(f"{name}:{number} is not a session: {exc}", hint=hint) from exc
        except UsageError as exc:
            raise exc.at(f"{name}:{number}") from None
        yield number, kept


def make_seekable(file: IO[bytes]) -> IO[bytes]:
    """Return the file, or a copy of a file that can be read only once, such as a pipe."""
    if file.seekable():
        return file
    copy = tempfile.SpooledTemporaryFile(_SPOOLED)  # noqa: SIM115 - it must live as long as its reader
    shutil.copyfileobj(file, copy)
    return copy


@contextmanager
def open_output(path: str | None) -> Iterator[IO[bytes]]:
    """Open standard output (`None` or `-`) or a file to write to. The file appears only when complete.

    Only the owner can read the file. Raises `UsageError` if the file cannot be written; an existing file then stays.
    """
    if path is None or path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path).resolve()
    try:
        if target.exists() and not target.is_file():
            # A device or a pipe must not be replaced by a file.
            with target.open("wb") as file:
                yield file
            return
        # mkstemp makes the file private; in the same folder, since a file cannot be moved to another disk in one step.
        number, made = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(number, "wb") as file:
                yield file
            Path(made).replace(target)
        except BaseException:
            Path(made).unlink()
            raise
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror or exc}", hint="Name another file.") from exc
