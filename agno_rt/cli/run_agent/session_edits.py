"""Changes the end of a stored session: adds an answer that was interrupted, takes the last exchange back."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agno_rt.errors import BackendError, UsageError
from agno_rt.memory import MemoryBackend, first_words, foreign_session
from agno_rt.messages import Message

__all__ = ["INTERRUPTED", "append_interrupted", "drop_last_exchange", "interrupted_messages"]

INTERRUPTED = "[interrupted]"
"""What ends an answer that somebody stopped, so that people and models can tell."""


def interrupted_messages(said: Sequence[Message], partial: str) -> list[Message]:
    """Return what to keep of a run that was stopped: its finished turns, then the `partial` text of the last, marked.

    Nothing where the model has said nothing. `said` has no call without its result, as results of runs have it.
    """
    messages = [message for message in said if message.role != "system"]
    answers = [message for message in messages if message.role == "assistant"]
    if messages and messages[-1].role == "assistant":
        return messages  # the answer was whole, and only storing it was stopped
    if answers and answers[-1].text == partial:
        partial = ""  # it was said before calls that are over
    text = _closed(partial.strip())
    if not text and not answers:
        return []
    return [*messages, Message("assistant", f"{text}\n\n{INTERRUPTED}" if text else INTERRUPTED)]


def _closed(text: str) -> str:
    """The text, with the code block closed that it broke off in: what comes behind is none of its code."""
    fence = ""
    for found in re.finditer(r"^ *(`{3,}|~{3,})", text, re.MULTILINE):
        fence = found[1] if not fence else "" if found[1].startswith(fence) else fence
    return f"{text}\n{fence}" if fence else text


async def append_interrupted(
    memory: MemoryBackend, session: str, messages: Sequence[Message], *, user: str | None, agent: str
) -> None:
    """Append the messages to the session as it is now. Raises as `append` of a memory backend does."""
    found = await memory.load(session, 0)
    await memory.append(session, messages, version=found.version, user=user, agent=agent)


async def drop_last_exchange(
    memory: MemoryBackend, session: str, user: str | None, count: int | None
) -> tuple[Message, ...]:
    """Take the last `count` messages off the session, or its last question and all that follows; return them.

    Backends only add messages, so the session is written anew. A copy is kept while it is gone, so that not even a
    process that is killed loses it. Raises `UsageError` for a session without an exchange.
    """
    found = await memory.load(session)
    if found.version and found.user != user:
        raise foreign_session(session, found.user, user)
    messages = tuple(found.messages)
    at = len(messages) - count if count else _last_question(messages)
    if at < 0 or at >= len(messages):
        raise UsageError("there is no answer to take back", hint="Ask something first.")
    info = await memory.session_info(session)
    agent = "" if info is None else info.agent
    copy = await _free_name(memory, f"{session[:480]}.copy")
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


def _last_question(messages: Sequence[Message]) -> int:
    """The index of the last message of a user; -1 where there is none."""
    return next((at for at in range(len(messages) - 1, -1, -1) if messages[at].role == "user"), -1)


async def _free_name(memory: MemoryBackend, name: str) -> str:
    number = 1
    while (await memory.load(f"{name}{number}", 0)).version:
        number += 1
    return f"{name}{number}"
