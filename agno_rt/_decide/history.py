"""Selects the messages of a history for the model, with pure functions. A call is never shown without its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from agno_rt.errors import AgnoError, UsageError
from agno_rt.failures import must_pass, named
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import Message

__all__ = ["MEDIA_TOKENS", "Bounds", "estimate_tokens", "start_by_tokens", "text_tokens", "window"]

MEDIA_TOKENS = 1_000
"""The assumed cost of an image, audio, video or file. Providers differ widely, so this is only a guess."""
MESSAGE_TOKENS = 4
# Common for English text with the tokenizers of today; other languages need fewer characters for a token.
CHARACTERS_PER_TOKEN = 4


def window(messages: Sequence[Message], last: int | None) -> Sequence[Message]:
    """Return the last messages, at most `last`, from a point at which a model can pick up the conversation.

    The first message is a user's if possible, and otherwise not the result of a missing call.
    """
    whole = last is None or len(messages) < last
    if whole and (not messages or messages[0].role != "tool"):
        return messages
    # With exactly `last` messages, the backend may have cut off older ones: look for a good start all the same.
    start = _find_start(messages, 0 if last is None else max(0, len(messages) - last))
    return messages[start:] if start else messages


def text_tokens(text: str) -> int:
    """Estimate the number of tokens in a text: one for every four characters, rounded up."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def estimate_tokens(message: Message) -> int:
    """Estimate the number of tokens in a message: its texts, calls and media, and a few for its role."""
    tokens = MESSAGE_TOKENS + text_tokens(message.text) + MEDIA_TOKENS * len(message.media)
    for call in message.tool_calls:
        tokens += text_tokens(call.name + call.arguments)
    return tokens


class Bounds(msgspec.Struct, frozen=True):
    """The bounds of a `MemoryPolicy` on the history that a model sees; all of them hold."""

    messages: int | None = None
    runs: int | None = None
    tokens: int | None = None
    count: Callable[[Message], int] = estimate_tokens

    @classmethod
    def of(cls, policy: MemoryPolicy) -> Bounds:
        """Return the bounds of a policy."""
        count, results = policy.count or estimate_tokens, policy.results
        if results is not None:
            from agno_rt._decide.large_results import shorten  # few agents have such a bound

            whole = count

            def count(message: Message) -> int:
                return whole(shorten(message, results) or message)

        return cls(policy.messages, policy.runs, policy.tokens, count)

    def scaled(self, share: float) -> Bounds:
        """Return these bounds times `share`, rounded down."""
        messages, runs, tokens = (
            None if bound is None else int(bound * share) for bound in (self.messages, self.runs, self.tokens)
        )
        return Bounds(messages, runs, tokens, self.count)

    def beginning(self, messages: Sequence[Message]) -> int:
        """Return the index of the first message to show; `len(messages)` for none.

        The cut follows the rules of `window`. A history within the bounds is not cut.
        """
        start = max(
            0 if self.messages is None else len(messages) - self.messages,
            _start_by_runs(messages, self.runs),
            start_by_tokens(messages, self.tokens, self.count),
        )
        return _find_start(messages, start) if start > 0 else 0


def _start_by_runs(messages: Sequence[Message], runs: int | None) -> int:
    if runs is None:
        return 0
    left = runs
    # Messages do not name their run. A run begins with the first of its user messages, which lie side by side.
    for at in range(len(messages) - 1, -1, -1) if runs else ():
        if messages[at].role == "user" and (at == 0 or messages[at - 1].role != "user"):
            left -= 1
            if left == 0:
                return at
    return 0 if runs else len(messages)


def start_by_tokens(messages: Sequence[Message], tokens: int | None, count: Callable[[Message], int]) -> int:
    """Return the index from which the messages have at most `tokens` tokens. Raises `UsageError` if `count` fails."""
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
            hint = "Make it return the number of tokens in a message."
            raise UsageError(f"the `count` of a memory policy failed: {named(exc)}", hint=hint) from exc
        if left < 0:
            return at + 1
    return 0


def _find_start(messages: Sequence[Message], start: int) -> int:
    """Return the next index, from `start` on, of a user's message; else of a message that is not a tool's result."""
    if start < len(messages) and messages[start].role == "user":
        return start
    behind = range(start, len(messages))
    users = (at for at in behind if messages[at].role == "user")
    whole = (at for at in behind if messages[at].role != "tool")
    return next(users, next(whole, len(messages)))
