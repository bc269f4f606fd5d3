"""The words in pictures: cleaned, measured without a font, and cut to a width."""

from __future__ import annotations

import re
import unicodedata

from agno_rt.names import UNSEEN
from agno_rt.runnable import Drawing

__all__ = ["clean_text", "cut_text", "describe_drawing", "format_seconds", "measure_text", "state_note"]

_UNSEEN = re.compile(f"[{UNSEEN}\ud800-\udfff\ufffe\uffff]")
_NARROW = frozenset("ijl.,:;'|!()[] ftr")
_WIDE = frozenset("mwMW@%—…")


def clean_text(text: str) -> str:
    """Return the text on one line, without the characters that nobody sees or that XML forbids."""
    return _UNSEEN.sub("", " ".join(text.split()))


def measure_text(text: str, size: float) -> float:
    """Return the width of the text in pixels at a font size: a little more than common sans-serif fonts need."""
    return sum(map(_measure_letter, text)) * size


def _measure_letter(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0.0
    if letter in _NARROW:
        return 0.42
    if letter in _WIDE:
        return 1.05
    if letter.isascii():
        return 0.78 if letter.isupper() else 0.66
    return 1.4 if unicodedata.east_asian_width(letter) in "WF" else 0.95


def cut_text(text: str, size: float, most: float) -> str:
    """Return the cleaned text, cut with an ellipsis if the text is wider than `most` pixels."""
    text = clean_text(text)
    if measure_text(text, size) <= most:
        return text
    room = most - _measure_letter("…") * size
    at = 0
    while (room := room - _measure_letter(text[at]) * size) >= 0:
        at += 1
    return f"{text[:at].rstrip()}…"


def format_seconds(seconds: float) -> str:
    """Return a duration for people: `0.25 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds >= 9.995 else f"{max(0.0, seconds):.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def state_note(drawing: Drawing) -> str:
    """Return the state and the duration, as in `completed, 0.25 s`; empty outside of runs."""
    took = ""
    if drawing.began is not None and drawing.ended is not None:
        took = format_seconds(drawing.ended - drawing.began)
    return ", ".join(word for word in (drawing.state, took) if word)


_JOINTS = {"series": ", then ", "loop": ", then ", "parallel": "; at the same time ", "choice": "; or ", "parts": "; "}
_BEGINNINGS = {"loop": "again and again ", "choice": "one of "}


def describe_drawing(drawing: Drawing) -> str:
    """Return the structure in words, for people who do not see the picture."""
    about = ", ".join(word for word in (clean_text(drawing.kind), state_note(drawing)) if word)
    title = f"{clean_text(drawing.name)}{f' ({about})' if about else ''}" if drawing.name else ""
    if not drawing.parts:
        return title
    inside = _JOINTS[drawing.form].join(map(describe_drawing, drawing.parts))
    inside = f"[{_BEGINNINGS.get(drawing.form, '')}{inside}]"
    return f"{title}: {inside}" if title else inside
