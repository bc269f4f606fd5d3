"""The rules for names and ids of sessions, users, agents and runs. Check a name before you store anything under it."""

from __future__ import annotations

import functools
import re
from typing import Final

from agno_rt.errors import UsageError

__all__ = ["MAX_NAME", "UNSEEN", "check_name"]

MAX_NAME = 512
"""The most characters in a name: 2,048 bytes of UTF-8, which fits the index of every common database."""

UNSEEN: Final = (
    # Control characters, including line ends; line and paragraph separators.
    "\x00-\x1f\x7f-\x9f\u2028\u2029"
    # Marks that change the direction of the text around them.
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    # Characters without width, and blank ones.
    "\xad\u034f\u17b4\u17b5\u180e\u200b\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
"""The characters that are invisible or steer the display of other text, as the inside of a regular expression's set.

The two joiners, U+200C and U+200D, are not included: names in many scripts, and many emoji, need them.
"""

_REFUSED = re.compile(f"[{UNSEEN}\ud800-\udfff]")  # and half surrogate pairs, which UTF-8 cannot carry


# The same names are checked again and again. The cache is in C, so that a known name costs no Python call.
@functools.lru_cache(maxsize=1024)
def check_name(what: str, name: str) -> str:
    """Return the name. Raises `UsageError` if it is empty, longer than `MAX_NAME`, or has a character of `UNSEEN`.

    `what` names the thing in the error: "a session's name". Names are compared character by character: "Ann" is not
    "ann".
    """
    if not isinstance(name, str):
        raise UsageError(f"{what} is of type {type(name).__name__}", hint="Give text.")
    if not name:
        raise UsageError(f"{what} is empty", hint="Give at least one character, or leave it out.")
    if len(name) > MAX_NAME:
        hint = "Give a short one, such as an id: it is a key, not a text."
        raise UsageError(f"{what} has {len(name):,} characters, and the bound is {MAX_NAME}", hint=hint)
    if name.isascii() and name.isprintable():
        return name
    if found := _REFUSED.search(name):
        problem = f"{what} has the character U+{ord(found[0]):04X}: {name!a}"
        hint = "Leave out line ends, control characters and invisible characters."
        raise UsageError(problem, hint=hint)
    return name
