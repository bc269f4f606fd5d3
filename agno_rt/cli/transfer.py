"""Sessions as JSON lines: written whole or not at all, read with errors that name the line. Opens no memory."""

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
"""Bytes of standard input that are held in memory before they go to a file."""


class SessionRecord(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A session as a line has it. `data` is its state and summary, as the memory keeps them; bytes are in base64."""

    id: str
    messages: tuple[Message, ...] = ()
    user: str | None = None
    data: bytes = b""
    title: str = ""
    agent: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SessionRecord).decode


def session_line(session: Session, info: SessionInfo | None) -> bytes:
    """Return the session as a line. `info` is what a list says of it: its title and its agent."""
    title, agent = ("", "") if info is None else (info.title, info.agent)
    return _encode(SessionRecord(session.id, tuple(session.messages), session.user, session.data, title, agent)) + b"\n"


def read_sessions(file: IO[bytes], name: str, user: str | None = None) -> Iterator[tuple[int, SessionRecord]]:
    """The sessions in the file, from its beginning, with their lines' numbers. Raises `UsageError` with the line.

    Those that belong to nobody become the `user`'s, where one is named.
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
            hint = "Each line is a session, as `agno-rt sessions export` writes it. Nothing was stored."
            raise UsageError(f"{name}:{number} is not a session: {exc}", hint=hint) from exc
        except UsageError as exc:
            raise exc.at(f"{name}:{number}") from None
        yield number, kept


def make_seekable(file: IO[bytes]) -> IO[bytes]:
    """The file, or a copy of it where it can be read but once."""
    if file.seekable():
        return file
    copy = tempfile.SpooledTemporaryFile(_SPOOLED)  # noqa: SIM115  # it lives as long as whoever reads it
    shutil.copyfileobj(file, copy)
    return copy


@contextmanager
def open_output(path: str | None) -> Iterator[IO[bytes]]:
    """Where to write: standard output, or a file, which takes its place once all is in it, for its owner alone to read.

    Raises `UsageError` where it cannot be written; a file that was there is then left as it was.
    """
    if path is None or path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path).resolve()
    try:
        if target.exists() and not target.is_file():
            # A device or a pipe keeps its place.
            with target.open("wb") as file:
                yield file
            return
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
