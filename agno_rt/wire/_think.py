"""Splits reasoning from an answer where a model writes both in one text: `<think>...</think>`, then the answer.

That is how many open models do it (the chat template of DeepSeek-R1, and those that follow it). Only a tag at the very
start is one: an answer that mentions the tag further on is left as it is. Pure: no I/O.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from agno_rt.events import ReasoningDelta, TextDelta

__all__ = ["ThinkSplitter", "ThinkTags"]

ThinkTags = Literal["off", "start", "opened"]

_Piece: TypeAlias = ReasoningDelta | TextDelta
_State: TypeAlias = Literal["start", "thinking", "thought", "answer"]

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkSplitter:
    """Takes in a model's text piece by piece; `feed` and then `end` return what is reasoning and what is answer.

    However the text is cut, the joined result is the same. White space around the reasoning, and before the answer
    that follows it, belongs to neither. Where the closing tag never comes, all is reasoning.
    """

    __slots__ = ("_held", "_opened", "_said", "_space", "_state")

    def __init__(self, tags: ThinkTags = "start") -> None:
        self._state: _State = "answer" if tags == "off" else "start"
        self._opened = tags == "opened"
        # White space whose place is not known yet, in pieces: joined each time, a long one would cost its square.
        self._space: list[str] = []
        self._held = ""
        self._said = False

    def feed(self, text: str) -> list[_Piece]:
        """Take in the next piece."""
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
        """Split no more: what was held back, and text is the answer from now on. Asked again, there is nothing."""
        state, self._state = self._state, "answer"
        space, held, self._held = self._taken(), self._held, ""
        if state == "start" and not self._opened:
            return [TextDelta(space + held)] if space or held else []
        # The beginning of a tag that never came was text after all.
        return [ReasoningDelta(space + held if self._said else held)] if held else []

    def _begin(self, text: str) -> str:
        """What is to be read on from; nothing as long as a tag may still come."""
        whole = self._held + text
        bare = whole.lstrip()
        if len(bare) < len(whole):
            self._space.append(whole[: len(whole) - len(bare)])
        if len(bare) < len(_OPEN) and _OPEN.startswith(bare):
            self._held = bare
            return ""
        self._held = ""
        space = self._taken()
        if self._opened or bare.startswith(_OPEN):
            self._state = "thinking"
            return bare.removeprefix(_OPEN)
        self._state = "answer"
        return space + bare

    def _think(self, text: str, pieces: list[_Piece]) -> str:
        """Take in reasoning; what follows the closing tag is returned."""
        body, closed, rest = (self._held + text).partition(_CLOSE)
        self._held = "" if closed else _beginning_of_a_tag(body)
        body = body[: len(body) - len(self._held)]
        said = body.rstrip()
        tail = body[len(said) :]
        if not self._said:
            said = said.lstrip()
        if said:
            pieces.append(ReasoningDelta(self._taken() + said))
            self._said = True
        if closed:
            self._space.clear()
            self._state = "thought"
        elif self._said and tail:
            self._space.append(tail)
        return rest

    def _taken(self) -> str:
        space = "".join(self._space)
        self._space.clear()
        return space


def _beginning_of_a_tag(text: str) -> str:
    """The end of the text that may be the beginning of the closing tag."""
    return next((_CLOSE[:size] for size in range(len(_CLOSE) - 1, 0, -1) if text.endswith(_CLOSE[:size])), "")
