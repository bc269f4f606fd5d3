"""What a name or an id may be: of a session, a user, an agent, a run. Whoever stores one under it checks it first."""

from __future__ import annotations

import functools
import re

from agno_rt.errors import UsageError

__all__ = ["MAX_NAME", "check_name"]

MAX_NAME = 512
"""How many characters a name has at most: 2,048 bytes of UTF-8, which the index of every common database takes."""

# Line ends and other control characters; marks that turn the direction of the text around them; half surrogate pairs,
# which UTF-8 cannot carry. Joiners and the like stay: names in many scripts need them.
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


# Most names are checked again and again: one that was found right costs no call of Python's.
@functools.lru_cache(maxsize=1024)
def check_name(what: str, name: str) -> str:
    """Return the name, or raise `UsageError`: it is empty, longer than `MAX_NAME`, or has a character that steers text.

    `what` says whose it is in the error: "a session's name". Names are compared character by character: "Ann" is not
    "ann".
    """
    if not isinstance(name, str):
        raise UsageError(f"{what} is of type {type(name).__name__}", hint="Give text.")
    if not name:
        raise UsageError(f"{what} is empty", hint="Give one that has a character at least, or leave it out.")
    if len(name) > MAX_NAME:
        hint = "Give a short one, such as an id: it is a key, not a text."
        raise UsageError(f"{what} has {len(name):,} characters, and the bound is {MAX_NAME}", hint=hint)
    if found := _REFUSED.search(name):
        problem = f"{what} has the character U+{ord(found[0]):04X}: {name!a}"
        hint = "Leave out line ends, control characters, half surrogate pairs and marks that turn the text's direction."
        raise UsageError(problem, hint=hint)
    return name
