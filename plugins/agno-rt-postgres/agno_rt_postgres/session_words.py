"""The search by words in PostgreSQL: each function is one operation. The index grows with each search.

So storing a message costs nothing more. A word counts more if fewer of the user's messages have it.
"""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress

import msgspec

from agno_rt.context_providers.session_search import READ_CHARACTERS, FoundMessage
from agno_rt.knowledge.words import query_words, split_words
from agno_rt.messages import Message
from agno_rt_postgres.faults import Damaged
from agno_rt_postgres.statements import Done, Operation, Row, Rows, Statement

__all__ = ["find_messages", "has_new_messages", "index_messages", "make_search"]

INDEXED_AT_ONCE = 500
"""The messages that one operation adds to the index: other tasks of the process wait meanwhile."""
SESSIONS_AT_ONCE = 100
"""The sessions that one operation locks."""

_STEM = "coalesce((ts_lexize('stem', word))[1], word)"
_OF_USER = {False: '"user" = $1', True: '"user" IS NULL AND $1::text IS NULL'}
_NEW_SESSIONS = "SELECT id, total, indexed FROM sessions WHERE {} AND total > indexed ORDER BY id LIMIT $2"
_NEW_MESSAGES = (
    "SELECT m.session, m.seq, m.body FROM unnest($1::text[], $2::text[]) AS asked (id, indexed)"
    " JOIN messages AS m ON m.session = asked.id AND m.seq > asked.indexed::bigint ORDER BY m.session, m.seq LIMIT $3"
)
_ADD = (
    "INSERT INTO session_words SELECT new.session, new.seq::bigint, array_to_tsvector("
    f"ARRAY(SELECT DISTINCT {_STEM} FROM unnest(string_to_array(new.words, ' ')) AS word) || $4::text)"
    " FROM unnest($1::text[], $2::text[], $3::text[]) AS new (session, seq, words) ON CONFLICT DO NOTHING"
)
_COUNT_UP = (
    "UPDATE sessions SET indexed = new.seq::bigint FROM unnest($1::text[], $2::text[]) AS new (id, seq)"
    " WHERE sessions.id = new.id"
)
_COUNT_WORDS = (
    f"SELECT stem, (SELECT count(*) FROM session_words WHERE words @@ ($2 || ' & ' || quote_literal(stem))::tsquery)"
    f" FROM (SELECT DISTINCT {_STEM} AS stem FROM unnest($1::text[]) AS word) AS asked"
)
_COUNT_ALL = "SELECT count(*) FROM session_words WHERE words @@ $1::text::tsquery"
# The messages themselves are read for the best alone.
_FIND = """
WITH best AS (
    SELECT w.session, w.seq, s.updated_at, length(w.words) AS size, (
        SELECT sum(asked.weight::float8) FROM unnest($2::text[], $3::text[]) AS asked (word, weight)
        WHERE w.words @@ asked.word::tsquery
    ) AS score
    FROM session_words AS w JOIN sessions AS s ON s.id = w.session
    WHERE w.words @@ $1::text::tsquery AND s."user" IS NOT DISTINCT FROM $4
    ORDER BY score DESC, size, s.updated_at DESC, w.session, w.seq LIMIT $5
)
SELECT best.session, best.seq, best.updated_at, m.body FROM best
JOIN messages AS m ON m.session = best.session AND m.seq = best.seq
ORDER BY score DESC, size, best.updated_at DESC, best.session, best.seq
"""
_decode = msgspec.json.Decoder(Message).decode


def has_new_messages(user: str | None) -> Operation[bool]:
    """Return whether the user's sessions have messages that are not in the index."""
    (rows,) = yield [Statement(_NEW_SESSIONS.format(_OF_USER[user is None]), (user, 1))]
    return Done(bool(rows))


def index_messages(user: str | None) -> Operation[bool]:
    """Add messages of the user's sessions to the index; return whether there may be more to add."""
    # Locked, so that nobody deletes a session meanwhile, whose words would then be another session's.
    asked = _NEW_SESSIONS.format(_OF_USER[user is None])
    (locked,) = yield [Statement(f"{asked} FOR UPDATE", (user, SESSIONS_AT_ONCE))]
    if not locked:
        return Done(False)
    ids, after = [row[0] for row in locked], [str(row[2]) for row in locked]
    (rows,) = yield [Statement(_NEW_MESSAGES, (ids, after, INDEXED_AT_ONCE))]
    is_cut = len(rows) == INDEXED_AT_ONCE
    ends = {session: seq for session, seq, _ in rows} if is_cut else {session: total for session, total, _ in locked}
    new = _read_words(rows)
    columns = [row[0] for row in new], [str(row[1]) for row in new], [row[2] for row in new]
    return Done(
        is_cut or len(locked) == SESSIONS_AT_ONCE,
        [
            Statement(_ADD, (*columns, _mark_of(user)), writes=True),
            Statement(_COUNT_UP, (list(ends), [str(seq) for seq in ends.values()]), writes=True),
        ],
    )


def _read_words(rows: Rows) -> list[tuple[str, int, str]]:
    """Return session, number and words of the messages to search, without the calls and results of tools."""
    found = []
    for session, seq, body in rows:
        # A damaged message cannot be found; loading its session reports the damage.
        with suppress(msgspec.MsgspecError, UnicodeError):
            message = _decode(body)
            if message.role in ("user", "assistant") and (text := message.text[:READ_CHARACTERS]):
                found.append((session, seq, " ".join(dict.fromkeys(split_words(text)))))
    return found


def find_messages(words: str, user: str | None, limit: int) -> Operation[list[FoundMessage]]:
    """Return the messages that fit the words best."""
    mine = _quote(_mark_of(user))
    counted, (((total,),)) = yield [
        Statement(_COUNT_WORDS, (query_words(words), mine)),
        Statement(_COUNT_ALL, (mine,)),
    ]
    # The inverse document frequency, as in BM25.
    weights = {stem: math.log(1 + (total - count + 0.5) / (count + 0.5)) for stem, count in counted if count}
    if not weights:
        return Done([])
    (rows,) = yield [make_search(weights, user, limit)]
    return Done([_decode_found(row) for row in rows])


def make_search(weights: dict[str, float], user: str | None, limit: int) -> Statement:
    """Return the statement that finds the best messages of a user for stems with weights."""
    quoted = [_quote(stem) for stem in weights]
    either = f"{_quote(_mark_of(user))} & ({' | '.join(quoted)})"
    return Statement(_FIND, (either, quoted, [repr(weight) for weight in weights.values()], user, limit))


def _decode_found(row: Row) -> FoundMessage:
    session, seq, updated_at, body = row
    try:
        message = _decode(body)
    except (msgspec.MsgspecError, UnicodeError) as exc:
        raise Damaged(f"message {seq} of session {session!r}", exc) from exc
    return FoundMessage(session, seq, message.role, message.text[:READ_CHARACTERS], updated_at)


def _mark_of(user: str | None) -> str:
    """Return a mark for messages of the user. No word has a space."""
    return "user " + ("" if user is None else hashlib.sha256(user.encode()).hexdigest()[:32])


def _quote(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"
