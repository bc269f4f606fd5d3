"""Ends an answer where it begins to repeat itself: a small model that repeats a passage mostly does so for ever. Pure.

Text whose words were said before is held back, until they go another way or have repeated so much that the answer is
cut. What was held back is then left out, so that a reader never sees the repetition.
"""

from __future__ import annotations

import re

__all__ = ["LoopCutter"]

AGAIN = 12
"""Words that were said before in this order, anywhere in the answer: a loop."""
IN_A_ROW = 6
"""Words that only repeat the words right before them, twice at least: a loop such as `ha ha ha`."""
SENTENCE = 4
"""Words of a sentence that, said once more right after itself, are a loop."""

# One character of a script without spaces is a word, and so is a piece of what is too long to be a word.
_WORD = re.compile(
    r"\s*(?:[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\s\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,40})"
)
_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f][\"')\]]*$")
_NUMBER = re.compile(r"\d+")


class LoopCutter:
    """Takes in an answer piece by piece: `feed` returns what may be shown, `end` the rest, unless it was `cut`.

    `text` is what may be shown of the whole answer so far.
    """

    def __init__(self) -> None:
        self.text = ""
        self.cut = False
        self._held = ""
        self._unread = ""
        self._words: list[str] = []
        self._places: dict[str, list[int]] = {}
        self._repeats: dict[int, int] = {}

    def feed(self, text: str) -> str:
        """Take in a piece, and return what may be shown now."""
        if self.cut:
            return ""
        self._unread += text
        shown = ""
        # The last word may still be going on.
        words = _WORD.findall(self._unread)[:-1]
        for word in words:
            self._unread = self._unread[len(word) :]
            shown += self._take(word)
            if self.cut:
                break
        self.text += shown
        return shown

    def end(self) -> str:
        """The answer is over: return what was held back. A repetition at its end is left out, as in the middle."""
        shown = ""
        if not self.cut:
            shown = self._take(self._unread) if self._unread.strip() else self._unread
        if not self.cut:
            shown += self._held
        self._held = self._unread = ""
        self.text += shown
        return shown

    @property
    def is_whole(self) -> bool:
        """Whether what was shown ends with a sentence."""
        return _SENTENCE_END.search(self.text.rstrip()) is not None

    def _take(self, word: str) -> str:
        said = _NUMBER.sub("#", word.strip().lower())
        here = len(self._words)
        earlier = self._places.setdefault(said, [])
        # By the place where a repetition stands now: how many words it has.
        self._repeats = {place: self._repeats.get(place - 1, 0) + 1 for place in earlier}
        self._words.append(said)
        earlier.append(here)
        if self._is_loop(said, here):
            self.cut = True
            return ""
        if self._repeats:
            self._held += word
            return ""
        shown, self._held = self._held + word, ""
        return shown

    def _is_loop(self, said: str, here: int) -> bool:
        for place, length in self._repeats.items():
            apart = here - place
            if length >= AGAIN or (length >= max(IN_A_ROW, 2 * apart)):
                return True
            if length >= apart >= SENTENCE and _SENTENCE_END.search(said):
                return True
        return False
