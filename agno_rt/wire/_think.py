"""Splits reasoning from an answer if a model writes both in one text: `<think>...</think>`, then the answer.

Many open models do so (the chat template of DeepSeek-R1, and its followers). Only a tag at the very start counts: an
answer may mention the tag later. Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from agno_rt.events import ReasoningDelta, TextDelta

__all__ = ["ThinkSplitter", "ThinkTags", "join_deltas", "split_reasoning"]

ThinkTags = Literal["off", "start", "opened"]

_Piece: TypeAlias = ReasoningDelta | TextDelta
_State: TypeAlias = Literal["start", "thinking", "thought", "answer"]

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkSplitter:
    """Splits a model's text piece by piece; `feed` and then `end` return pieces of reasoning and of the answer.

    The joined result does not depend on the cuts. White space around the reasoning and before the answer is dropped.
    Without a closing tag, all text is reasoning.
    """

    __slots__ = ("_held", "_opened", "_said", "_space", "_state")

    def __init__(self, tags: ThinkTags = "start") -> None:
        self._state: _State = "answer" if tags == "off" else "start"
        self._opened = tags == "opened"
        # White space of a place not known yet, as a list: joining on each piece would be quadratic.
        self._space: list[str] = []
        self._held = ""
        self._said = False

    def feed(self, text: str) -> list[_Piece]:
        """Take in the next piece."""
        # The answer has most pieces of a stream.
        if self._state == "answer":
            return [TextDelta(text)] if text else []
        pieces: list[_Piece] = []
        if self._state == "start":
            text = self._begin(text)
        if self._state == "thinking":
            text = self._think(text, pieces)
        if self._state == "thought" and (text := text.lstrip()):
            self._state = "answer"
        if self._state == "answer" and text:
            pieces.append(TextDelta(text))
        return pieces

    def end(self) -> list[_Piece]:
        """Stop splitting and return the rest; later text is the answer. A second call returns nothing."""
        state, self._state = self._state, "answer"
        space, held, self._held = self._take_space(), self._held, ""
        if state == "start" and not self._opened:
            return [TextDelta(space + held)] if space or held else []
        # The held beginning of a tag that never came is plain text.
        return [ReasoningDelta(space + held if self._said else held)] if held else []

    def _begin(self, text: str) -> str:
        """Look for the opening tag; return the text after the decision, empty while a tag may still come."""
        whole = self._held + text
        bare = whole.lstrip()
        if len(bare) < len(whole):
            self._space.append(whole[: len(whole) - len(bare)])
        if len(bare) < len(_OPEN) and _OPEN.startswith(bare):
            self._held = bare
            return ""
        self._held = ""
        space = self._take_space()
        if self._opened or bare.startswith(_OPEN):
            self._state = "thinking"
            return bare.removeprefix(_OPEN)
        self._state = "answer"
        return space + bare

    def _think(self, text: str, pieces: list[_Piece]) -> str:
        """Take in reasoning; return the text after the closing tag."""
        body, closed, rest = (self._held + text).partition(_CLOSE)
        self._held = "" if closed else _find_tag_beginning(body)
        body = body[: len(body) - len(self._held)]
        said = body.rstrip()
        tail = body[len(said) :]
        if not self._said:
            said = said.lstrip()
        if said:
            pieces.append(ReasoningDelta(self._take_space() + said))
            self._said = True
        if closed:
            self._space.clear()
            self._state = "thought"
        elif self._said and tail:
            self._space.append(tail)
        return rest

    def _take_space(self) -> str:
        space = "".join(self._space)
        self._space.clear()
        return space


def split_reasoning(reasoning: str, text: str, think_tags: ThinkTags) -> tuple[str, str]:
    """Split reasoning in tags from the text, unless the server sent reasoning apart."""
    if reasoning:
        return reasoning, text
    splitter = ThinkSplitter(think_tags)
    return join_deltas([*splitter.feed(text), *splitter.end()])


def join_deltas(said: Iterable[TextDelta | ReasoningDelta]) -> tuple[str, str]:
    """Join the deltas into the reasoning and the text."""
    reasoning: list[str] = []
    text: list[str] = []
    for delta in said:
        (text if isinstance(delta, TextDelta) else reasoning).append(delta.text)
    return "".join(reasoning), "".join(text)


def _find_tag_beginning(text: str) -> str:
    """Return the end of the text that may begin the closing tag."""
    return next((_CLOSE[:size] for size in range(len(_CLOSE) - 1, 0, -1) if text.endswith(_CLOSE[:size])), "")
