"""Decides on the compaction of a conversation: when, where to cut, and what the model sees afterwards. Pure.

The transcript is never changed: the run's own messages that the model no longer sees are kept beside the others, and
are stored and returned in their places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs
import msgspec

from agno_rt._decide.history import CHARACTERS_PER_TOKEN, MEDIA_TOKENS, MESSAGE_TOKENS, start_by_tokens
from agno_rt._decide.system_message import replace_summary, summary_of
from agno_rt._decide.turns import Turns
from agno_rt.messages import Message
from agno_rt.tools import Tool

__all__ = [
    "TODOS_MARK",
    "Room",
    "Sizes",
    "bound_summary",
    "compact",
    "count_bytes",
    "covered_messages",
    "input_of_summary",
    "list_cut",
    "list_replaced",
    "old_summary",
    "tokens_of_tools",
]

TODOS_MARK = "\n\nYour todo list at that time:\n"
"""The text between a summary and the todo list. The summary that is stored, or summarised again, ends before it."""


def count_bytes(message: Message) -> int:
    """Estimate the tokens of a message by the bytes of its texts: letters of other scripts count more than Latin."""
    calls = "".join(call.name + call.arguments for call in message.tool_calls)
    size = len(f"{message.text}{calls}".encode("utf-8", "surrogatepass"))
    return MESSAGE_TOKENS + MEDIA_TOKENS * len(message.media) + -(-size // CHARACTERS_PER_TOKEN)


def tokens_of_tools(tools: Iterable[Tool]) -> int:
    """Estimate the tokens of the tools' names, descriptions and schemas in a request."""
    texts = (len(each.name) + len(each.description) + len(msgspec.json.encode(each.parameters)) for each in tools)
    return sum(texts) // CHARACTERS_PER_TOKEN


@attrs.frozen
class Room:
    """The room for a request, in tokens: compact above `soft`, down to `target`; refuse above `hard`."""

    soft: int
    hard: int
    target: int

    @classmethod
    def of(cls, window: int, answer: int, fill: float, keep: float) -> Room:
        """Return the room in a context of `window` tokens, of which `answer` are for the model's answer."""
        hard = max(0, window - answer)
        soft = min(hard, int(window * fill))
        return cls(soft, hard, int(soft * keep))


@attrs.frozen
class Sizes:
    """The tokens of a conversation as the model sees it: the messages, and the parts that no compaction takes away."""

    total: int
    fixed: int

    @classmethod
    def of(cls, turns: Turns, count: Callable[[Message], int], tools: int) -> Sizes:
        """Measure the conversation of the turns; `tools` are the tokens of the tools."""
        head, (start, end) = _find_head(turns), _find_pinned(turns)
        messages = turns.messages
        total = tools + sum(map(count, messages))
        base = count(Message("system", replace_summary(messages[0].text, ""))) if head else 0
        return cls(total, tools + base + sum(map(count, messages[start:end])))


def _find_head(turns: Turns) -> int:
    """Return the number of system messages at the beginning: 0 or 1."""
    return int(bool(turns.messages) and turns.messages[0].role == "system" and turns.own > 0)


def _find_pinned(turns: Turns) -> tuple[int, int]:
    """Return the range of the messages that stay: the notes of context providers, and the run's input."""
    view = turns.view
    if view is None:
        return turns.own, turns.own + 1
    return turns.own - int(view.notes), turns.own + view.pinned


def list_cut(turns: Turns, room: int, count: Callable[[Message], int]) -> int:
    """Return the index of the first message to keep, so that the kept tail has at most `room` tokens if possible.

    Calls stay with their results. The tail has at least the last message, or the last calls with their results. The
    index is 0 for nothing to cut.
    """
    head, (pinned, after) = _find_head(turns), _find_pinned(turns)
    messages = turns.messages
    last = len(messages) - 1
    while last > after and messages[last].role == "tool":
        last -= 1
    tail = messages[after:]
    start = after + start_by_tokens(tail, room, count)
    while start < len(messages) and messages[start].role == "tool":
        start += 1
    start = min(start, max(last, after))
    if start > after:
        return start
    # All own messages fit: cut the history before them.
    left = room - sum(map(count, tail))
    history = messages[head:pinned]
    start = head + start_by_tokens(history, max(0, left), count)
    while start < pinned and messages[start].role != "user":
        start += 1
    return start if start > head else 0


def compact(turns: Turns, summary: str, cut: int) -> int:
    """Replace the messages before `cut` by a summary, except the input and the notes; return the number replaced.

    A run that goes on from its journal calls this with the same values, and sees the same conversation.
    """
    view = turns.view
    assert view is not None, "the caller has made it"
    head, (pinned, after) = _find_head(turns), _find_pinned(turns)
    messages = turns.messages
    system = Message("system", replace_summary(messages[0].text if head else "", summary))
    if cut <= pinned:
        replaced = cut - head
        kept = messages[cut:]
        own = 1 + turns.own - cut
    else:
        view.earlier.extend(messages[after:cut])
        replaced = pinned - head + max(0, cut - after)
        kept = messages[pinned:after] + messages[cut:]
        own = 1 + turns.own - pinned
    turns.messages, turns.own = [system, *kept], own
    view.replaced = True
    return replaced


def list_replaced(turns: Turns, cut: int) -> Sequence[Message]:
    """Return the messages that a compaction at `cut` takes from the model."""
    head, (pinned, after) = _find_head(turns), _find_pinned(turns)
    return [*turns.messages[head : min(cut, pinned)], *turns.messages[after : max(cut, after)]]


def input_of_summary(turns: Turns, cut: int) -> Sequence[Message]:
    """Return the run's input if a summary of own messages needs it: the next run sees only the summary of both."""
    _, after = _find_pinned(turns)
    # The first summary of own messages has the input, and hands it on to the next one.
    is_first = turns.view is None or not turns.view.earlier
    return turns.messages[turns.own : after] if is_first and cut > after else ()


def old_summary(turns: Turns) -> str:
    """Return the summary that the model sees, without the todo list after it."""
    return summary_of(turns.messages[0].text).partition(TODOS_MARK)[0] if _find_head(turns) else ""


def covered_messages(turns: Turns, total: int) -> int:
    """Return the number of messages of the session that the summary covers, once the run's own are appended.

    `total` is the number of the session's messages before the run.
    """
    view = turns.view
    assert view is not None, "the run was compacted"
    if view.earlier:
        return total + view.pinned + len(view.earlier)
    return total - (turns.own - int(view.notes) - _find_head(turns))


def bound_summary(text: str, tokens: int) -> str:
    """Return the text, or its two ends if it has more than `tokens` tokens: a model may ignore its own bound."""
    most = tokens * CHARACTERS_PER_TOKEN
    if len(text) <= most:
        return text
    half = max(0, (most - len(_GAP)) // 2)
    return f"{text[:half].rstrip()}{_GAP}{text[len(text) - half :].lstrip()}"


_GAP = "\n[...]\n"
