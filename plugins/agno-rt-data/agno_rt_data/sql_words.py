"""Reads the words of a statement for PostgreSQL, as the server's own scanner does. Pure.

The server parses and decides; this module finds the names of functions, for the server to be asked about their effects.
Comments are taken out, and the statement is put together again from the words that were read, so that the server cannot
read the text in another way. The rules are those of chapter 4.1 of PostgreSQL's manual, "Lexical Structure".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

from agno_rt_data.sql_base import DatabaseError

__all__ = ["Statement", "read_statement"]

MOST_CHARACTERS = 50_000
_NAME_BYTES = 63
"""The bytes of a name that the server keeps."""

_WORD = re.compile(
    r"""
    (?P<space>\s+|--[^\n\r]*)
    | (?P<comment>/\*)
    | (?P<text>[eE]'(?:[^'\\]|\\.|'')*' | (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*')
    | (?P<odd>[uU]&")
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<dollar>\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$)
    | (?P<name>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*)
    | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)
    | (?P<sign>[^'"\\])
    """,
    re.VERBOSE | re.DOTALL,
)
_CAPITALS = {ord(char): char.lower() for char in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
"""The capitals that the server folds; `str.lower` folds others, too."""


@attrs.frozen
class Statement:
    """One statement, without comments.

    Attributes:
        text: the statement
        words: the first words, in small letters
        called: the names before a parenthesis, which may be functions
        fields: the names after a dot, which may be functions of the part before the dot
        names: all names
    """

    text: str
    words: Sequence[str]
    called: frozenset[str]
    fields: frozenset[str]
    names: frozenset[str]


def read_statement(sql: str) -> Statement:
    """Read one statement. Raises `DatabaseError` for several statements, and for text that is not SQL."""
    if len(sql) > MOST_CHARACTERS or re.search("[\0\ud800-\udfff]", sql):
        problem = f"the statement has characters that are not text, or more than {MOST_CHARACTERS:,}"
        raise DatabaseError(problem, hint="Write a shorter statement, of text alone.")
    words = list(_read_words(sql))
    while words and words[-1][1] in (" ", ";"):
        words.pop()
    if any(word == (";", ";") for word in words):
        raise DatabaseError("these are several statements, and one at a time is allowed", hint="Send them one by one.")
    solid = [word for word in words if word[1] != " "]
    if not solid:
        raise DatabaseError("the statement is empty", hint="Write SELECT ...")
    names = [(at, _fold_name(*word)) for at, word in enumerate(solid) if word[0] in ("name", "quoted")]
    return Statement(
        "".join(text for _, text in words).strip(),
        tuple(text.translate(_CAPITALS) for _, text in solid[:4]),
        frozenset(name for at, name in names if solid[at + 1 : at + 2] == [("sign", "(")]),
        frozenset(name for at, name in names if at and solid[at - 1] == ("sign", ".")),
        frozenset(name for _, name in names),
    )


def _read_words(sql: str) -> Iterator[tuple[str, str]]:
    """Yield kinds and texts. Spaces and comments become a single space, so that no text is continued on a new line."""
    at = 0
    while at < len(sql):
        match = _WORD.match(sql, at)
        if match is None or match.lastgroup == "odd":
            problem = f"the statement cannot be read from character {at + 1} on: {sql[at : at + 20]!r}"
            raise DatabaseError(problem, hint="Close quotes, and write names without U&.")
        kind, text, at = str(match.lastgroup), match[0], match.end()
        if kind == "comment":
            at, kind, text = _skip_comment(sql, at), "space", " "
        elif kind == "space":
            text = " "
        elif kind == "dollar":
            end = sql.find(text, at)
            if end < 0:
                raise DatabaseError(f"the text {text} is not closed", hint=f"Close it with {text}.")
            kind, text, at = "text", sql[match.start() : end + len(text)], end + len(text)
        elif text == ";":
            kind = ";"
        yield kind, text


def _skip_comment(sql: str, at: int) -> int:
    depth = 1
    for match in re.compile(r"/\*|\*/").finditer(sql, at):
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return match.end()
    raise DatabaseError("a comment is not closed", hint="Close it with */, or leave it out.")


def _fold_name(kind: str, text: str) -> str:
    name = text[1:-1].replace('""', '"') if kind == "quoted" else text.translate(_CAPITALS)
    return name.encode()[:_NAME_BYTES].decode("utf-8", "ignore")
