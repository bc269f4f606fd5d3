"""Which messages of a history go to the model: pure functions over messages. A call and its results are one unit."""

from __future__ import annotations

from collections.abc import Sequence

from agno_rt.messages import Message

__all__ = ["window"]


def window(messages: Sequence[Message], last: int | None) -> Sequence[Message]:
    """The last messages, at most `last` of them, cut where a model can take up the thread.

    The cut is before a user's message if there is one; else at least not among the results of a call that is cut off.
    """
    whole = last is None or len(messages) < last
    if whole and (not messages or messages[0].role != "tool"):
        return messages
    # As many as may be: some were cut off here, or by the backend, which was asked for no more.
    start = 0 if last is None else max(0, len(messages) - last)
    return messages[_beginning(messages, start) :]


def _beginning(messages: Sequence[Message], start: int) -> int:
    behind = range(start, len(messages))
    users = (at for at in behind if messages[at].role == "user")
    whole = (at for at in behind if messages[at].role != "tool")
    return next(users, next(whole, len(messages)))
