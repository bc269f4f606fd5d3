"""Edits the end of a stored session: adds an interrupted answer, or removes the last exchange."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agno_rt.errors import BackendError, UsageError
from agno_rt.memory import MemoryBackend, first_words, foreign_session
from agno_rt.messages import Message

__all__ = ["INTERRUPTED", "append_interrupted", "drop_last_exchange", "interrupted_messages"]

INTERRUPTED = "[interrupted]"
"""The mark at the end of an interrupted answer, for people and models."""


def interrupted_messages(said: Sequence[Message], partial: str) -> list[Message]:
    """Return the messages to keep of a stopped run: its finished turns, then the `partial` text of the last, marked.

    Returns nothing if the model has said nothing. Each call in `said` must have its result, as in the result of a run.
    """
    messages = [message for message in said if message.role != "system"]
    answers = [message for message in messages if message.role == "assistant"]
    if messages and messages[-1].role == "assistant":
        return messages  # the answer was complete, only its storing was stopped
    if answers and answers[-1].text == partial:
        partial = ""  # the text stands in a finished turn already
    text = _close_code_block(partial.strip())
    if not text and not answers:
        return []
    return [*messages, Message("assistant", f"{text}\n\n{INTERRUPTED}" if text else INTERRUPTED)]


def _close_code_block(text: str) -> str:
    """Return the text with its last code block closed, so that the text behind is not shown as code."""
    fence = ""
    for found in re.finditer(r"^ *(`{3,}|~{3,})", text, re.MULTILINE):
        fence = found[1] if not fence else "" if found[1].startswith(fence) else fence
    return f"{text}\n{fence}" if fence else text


async def append_interrupted(
    memory: MemoryBackend, session: str, messages: Sequence[Message], *, user: str | None, agent: str
) -> None:
    """Append the messages to the present version of the session. Raises the errors of `MemoryBackend.append`."""
    found = await memory.load(session, 0)
    await memory.append(session, messages, version=found.version, user=user, agent=agent)


async def drop_last_exchange(
    memory: MemoryBackend, session: str, user: str | None, count: int | None
) -> tuple[Message, ...]:
    """Remove the last `count` messages, or the last question and all that follows, and return them.

    Backends only add messages, so the session is deleted and written again. A copy is kept in between, so that even a
    killed process does not lose the session. Raises `UsageError` for a session without an exchange.
    """
    found = await memory.load(session)
    if found.version and found.user != user:
        raise foreign_session(session, found.user, user)
    messages = tuple(found.messages)
    at = len(messages) - count if count else _find_last_question(messages)
    if at < 0 or at >= len(messages):
        raise UsageError("there is no answer to take back", hint="Ask something first.")
    info = await memory.session_info(session)
    agent = "" if info is None else info.agent
    # Cut, so that the copy's name is not longer than names may be.
    copy = await _find_free_name(memory, f"{session[:480]}.copy")
    data = found.data or None
    await memory.append(copy, messages, version=0, user=user, data=data, agent=agent)
    await memory.delete(session)
    if messages[:at]:
        try:
            await memory.append(session, messages[:at], version=0, user=user, data=data, agent=agent)
        except BackendError as exc:
            raise BackendError(f"{exc.message}; the whole conversation is kept as session {copy}") from exc
        if info is not None and info.title and info.title != first_words(messages):
            await memory.rename(session, info.title)
    await memory.delete(copy)
    return messages[at:]


def _find_last_question(messages: Sequence[Message]) -> int:
    """Return the index of the user's last message; -1 for none."""
    return next((at for at in range(len(messages) - 1, -1, -1) if messages[at].role == "user"), -1)


async def _find_free_name(memory: MemoryBackend, name: str) -> str:
    number = 1
    while (await memory.load(f"{name}{number}", 0)).version:
        number += 1
    return f"{name}{number}"
