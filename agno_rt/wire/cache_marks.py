"""Finds the ends of the parts of a conversation that later requests repeat, for providers with marks for their cache.

A request of a conversation is the last request with more at the end: instructions, then tools, then messages, in the
same order each time. So the last request's end is the place where a provider's cache can hit, and this request's end
is the place for the next hit. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from agno_rt.messages import Message

__all__ = ["cache_marks"]


def cache_marks(messages: Sequence[Message]) -> tuple[int, ...]:
    """Return the indexes of the messages to mark for a provider's cache, at most three, in order.

    These are the last of the system messages at the beginning, the last message of the conversation's previous request,
    and the last message. Two requests of a conversation that follow one another share a mark, however many calls a turn
    has: a provider that looks back from a mark for only a few blocks finds the same beginning.
    """
    if not messages:
        return ()
    last = len(messages) - 1
    system = next((at for at, message in enumerate(messages) if message.role != "system"), len(messages)) - 1
    # Each request ends before an answer, so the last answer follows the end of the previous request.
    answer = next((at for at in range(last, -1, -1) if messages[at].role == "assistant"), 0)
    return tuple(sorted({at for at in (system, answer - 1, last) if at >= 0}))
