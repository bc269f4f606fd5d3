"""The text of a run's present turn as sent to a client, so that a repeated turn sends nothing twice.

OpenAI's formats cannot take text back. If a turn begins anew, a repetition of the sent text is held back, and new
text is sent. If the turn says something else, the stream has to end with an error.
"""

from __future__ import annotations

from agno_rt_serve.errors import HttpError

__all__ = ["TurnText"]


class TurnText:
    """The text and the reasoning of one turn after another, as sent: finds the new part of each delta."""

    def __init__(self) -> None:
        self.text = ""
        self.reasoning = ""
        self._again: str | None = None
        self._thought_again: str | None = None

    def begin(self) -> None:
        """Begin the next turn. Raises `HttpError` if text already sent turned out not to be the answer."""
        self._check_whole()
        self.text = self.reasoning = ""
        self._thought_again = None

    def restart(self) -> None:
        """Begin the present turn anew."""
        self._again = "" if self.text else None
        self._thought_again = "" if self.reasoning else None

    def add_text(self, delta: str) -> str:
        """Return the new part of the delta. Raises `HttpError` if text already sent is not repeated."""
        if self._again is not None:
            delta = self._skip_repeated(delta)
        self.text += delta
        return delta

    def add_reasoning(self, delta: str) -> str:
        """Return the new part of the reasoning. Unlike the answer, reasoning may differ after a restart."""
        if self._thought_again is not None:
            again = self._thought_again + delta
            if self.reasoning.startswith(again):
                self._thought_again = again
                return ""
            self._thought_again = None
            delta = again.removeprefix(self.reasoning)
        self.reasoning += delta
        return delta

    def finish(self, content: str) -> str:
        """Return the rest of the run's answer. Raises `HttpError` if text already sent is not its beginning."""
        if self._again is not None:
            # The content repeats the restarted turn from the beginning.
            self._again = ""
        elif self.text:
            return ""
        rest = self.add_text(content)
        self._check_whole()
        return rest

    def _skip_repeated(self, delta: str) -> str:
        again = f"{self._again}{delta}"
        if self.text.startswith(again):
            self._again = again
            return ""
        if not again.startswith(self.text):
            raise _taken_back_error()
        self._again = None
        return again[len(self.text) :]

    def _check_whole(self) -> None:
        if self._again is not None and self._again != self.text:
            raise _taken_back_error()
        self._again = None


def _taken_back_error() -> HttpError:
    hint = "Send the request again, or send it without `stream`."
    return HttpError(502, "taken_back", "the model began its answer anew after part of it had been streamed", hint)
