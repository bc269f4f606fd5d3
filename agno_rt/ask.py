"""Small values that a workflow hands to its flow: a question to a person, and an early end."""

from __future__ import annotations

from typing import Any

import attrs

__all__ = ["Ask", "Stop"]


@attrs.frozen
class Ask:
    """A question to a person, for `Flow.ask`.

    Attributes:
        type: the type of the answer, as for an agent's output: `bool`, `str`, `Literal["a", "b"]`, a class
        question: the question
        expires: the seconds after which no answer is possible; `None` for never
    """

    type: Any
    question: str
    expires: float | None = None


@attrs.frozen
class Stop:
    """The answer of a workflow that ends early, from `Flow.stop`: the `reason` is the content of its result."""

    reason: str = ""
