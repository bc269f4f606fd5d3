"""Which messages of a history go to the model: pure functions over messages. A call and its results are one unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from agno_rt.errors import AgnoError, UsageError
from agno_rt.failures import must_pass, named
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import Message

__all__ = ["MEDIA_TOKENS", "Bounds", "estimate", "text_tokens", "window"]

MEDIA_TOKENS = 1_000
"""What an image, a piece of audio or video, or a file is taken to cost: no more than a guess."""
MESSAGE_TOKENS = 4
CHARACTERS_PER_TOKEN = 4


def window(messages: Sequence[Message], last: int | None) -> Sequence[Message]:
    """The last messages, at most `last` of them, cut where a model can take up the thread.

    The cut is before a user's message if there is one; else at least not among the results of a call that is cut off.
    """
    whole = last is None or len(messages) < last
    if whole and (not messages or messages[0].role != "tool"):
        return messages
    # As many as may be: some were cut off here, or by the backend, which was asked for no more.
    start = _beginning(messages, 0 if last is None else max(0, len(messages) - last))
    return messages[start:] if start else messages


def text_tokens(text: str) -> int:
    """About how many tokens a text has: one for every four characters."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def estimate(message: Message) -> int:
    """About how many tokens a message has: those of its texts, and some for what is around them."""
    tokens = MESSAGE_TOKENS + text_tokens(message.text) + MEDIA_TOKENS * len(message.media)
    for call in message.tool_calls:
        tokens += text_tokens(call.name + call.arguments)
    return tokens


class Bounds(msgspec.Struct, frozen=True):
    """How much of a history is shown, as a `MemoryPolicy` has it: all of its bounds hold."""

    messages: int | None = None
    runs: int | None = None
    tokens: int | None = None
    count: Callable[[Message], int] = estimate

    @classmethod
    def of(cls, policy: MemoryPolicy) -> Bounds:
        """The bounds of a policy."""
        return cls(policy.messages, policy.runs, policy.tokens, policy.count or estimate)

    def scaled(self, share: float) -> Bounds:
        """That share of these bounds, rounded down."""
        messages, runs, tokens = (
            None if bound is None else int(bound * share) for bound in (self.messages, self.runs, self.tokens)
        )
        return Bounds(messages, runs, tokens, self.count)

    def beginning(self, messages: Sequence[Message]) -> int:
        """Where in the messages that begins which is shown: 0 where all are, their length where none are.

        Cut as `window` does. Where nothing needs to be cut off, nothing is.
        """
        start = max(
            0 if self.messages is None else len(messages) - self.messages,
            _last_runs(messages, self.runs),
            _last_tokens(messages, self.tokens, self.count),
        )
        return _beginning(messages, start) if start > 0 else 0


def _last_runs(messages: Sequence[Message], runs: int | None) -> int:
    if runs is None:
        return 0
    left = runs
    for at in range(len(messages) - 1, -1, -1) if runs else ():
        if messages[at].role == "user" and (at == 0 or messages[at - 1].role != "user"):
            left -= 1
            if left == 0:
                return at
    return 0 if runs else len(messages)


def _last_tokens(messages: Sequence[Message], tokens: int | None, count: Callable[[Message], int]) -> int:
    if tokens is None:
        return 0
    left = tokens
    for at in range(len(messages) - 1, -1, -1):
        try:
            left -= count(messages[at])
        except AgnoError:
            raise
        except BaseException as exc:
            if must_pass(exc):
                raise
            hint = "Let it return how many tokens a message has."
            raise UsageError(f"the `count` of a memory policy failed: {named(exc)}", hint=hint) from exc
        if left < 0:
            return at + 1
    return 0


def _beginning(messages: Sequence[Message], start: int) -> int:
    if start < len(messages) and messages[start].role == "user":
        return start
    behind = range(start, len(messages))
    users = (at for at in behind if messages[at].role == "user")
    whole = (at for at in behind if messages[at].role != "tool")
    return next(users, next(whole, len(messages)))
