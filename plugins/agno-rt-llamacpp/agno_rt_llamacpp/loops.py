"""The end of an answer that begins to repeat itself: a small model rarely leaves such a loop. Pure.

Repeated words are held back until the text takes another course, or until enough words repeat to cut the answer. A cut
drops the held words, so a reader never sees the repetition.
"""

from __future__ import annotations

import re

__all__ = ["LoopCutter"]

AGAIN = 12
"""Words in a row that repeat earlier words anywhere in the answer: a loop."""
IN_A_ROW = 6
"""Words that repeat the words right before, at least twice: a loop such as `ha ha ha`."""
SENTENCE = 4
"""Words in a sentence whose immediate repetition is a loop; shorter sentences may repeat."""

# In a script without spaces each character is a word. Text too long for a word counts in pieces of 40 characters.
_WORD = re.compile(
    r"\s*(?:[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\s\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,40})"
)
_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f][\"')\]]*$")
_NUMBER = re.compile(r"\d+")


class LoopCutter:
    """A filter for an answer in pieces: `feed` and `end` return text to show, until the answer is `cut`.

    `text` is all text shown so far.
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
        """Take in a piece, and return the text to show now."""
        if self.cut:
            return ""
        self._unread += text
        shown = ""
        # The last word may be incomplete.
        words = _WORD.findall(self._unread)[:-1]
        for word in words:
            self._unread = self._unread[len(word) :]
            shown += self._take_word(word)
            if self.cut:
                break
        self.text += shown
        return shown

    def end(self) -> str:
        """End the answer: return the held text. A repetition at the end is dropped, as in the middle."""
        shown = ""
        if not self.cut:
            shown = self._take_word(self._unread) if self._unread.strip() else self._unread
        if not self.cut:
            shown += self._held
        self._held = self._unread = ""
        self.text += shown
        return shown

    @property
    def is_whole(self) -> bool:
        """True if the shown text ends with a sentence."""
        return _SENTENCE_END.search(self.text.rstrip()) is not None

    def _take_word(self, word: str) -> str:
        # Numbers count as equal, so that a numbered list of the same item is a loop.
        said = _NUMBER.sub("#", word.strip().lower())
        here = len(self._words)
        earlier = self._places.setdefault(said, [])
        # For each place of an earlier occurrence: the number of words repeated up to here.
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
