"""The file of `SQLiteMemory`: how it is opened, what tables are in it, and what to do about its errors."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import msgspec

__all__ = ["BUSY_SECONDS", "SCHEMA_VERSION", "open_file", "remedy"]

BUSY_SECONDS = 10.0
"""How long a write waits for another process that is writing, unless told otherwise."""
BUSY_POLL_SECONDS = 0.005

_SCHEMAS = (
    """
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, user TEXT, version INTEGER NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX sessions_by_update ON sessions (updated_at);
    CREATE TABLE messages (
        session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, seq INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (session, seq)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE sessions ADD COLUMN data BLOB NOT NULL DEFAULT x'';
    CREATE TABLE fact_users (user TEXT PRIMARY KEY, steps INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE facts (
        user TEXT NOT NULL REFERENCES fact_users (user) ON DELETE CASCADE, id TEXT NOT NULL, step INTEGER NOT NULL,
        sameness TEXT NOT NULL, text TEXT NOT NULL, topics BLOB NOT NULL, session TEXT,
        created_at REAL NOT NULL, updated_at REAL NOT NULL,
        PRIMARY KEY (user, id)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX facts_by_sameness ON facts (user, sameness);
    CREATE TABLE cache (
        entry TEXT PRIMARY KEY, value BLOB NOT NULL, expires_at REAL, used INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX cache_by_use ON cache (used);
    CREATE INDEX cache_by_end ON cache (expires_at) WHERE expires_at IS NOT NULL;
    """,
)
"""What each version of the schema adds to the one before. Those that were released are never changed."""

SCHEMA_VERSION = len(_SCHEMAS)

_REMEDIES = {
    "unable to open": "Check that its folder exists and that this user may write there.",
    "readonly": "Check that this user may write to it and to its folder.",
    "locked": "Another process keeps it locked; stop that one, or try again.",
    "newer agno_rt": "Upgrade agno-rt, or use another file.",
    "not a database": "It is no SQLite file: name another.",
    "malformed": "It is damaged; restore it from a backup.",
    "full": "The disk is full; make room and try again. Nothing that was stored is lost.",
}
"""What to do, by a piece of SQLite's own message."""


def open_file(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """A connection to the file, which is made, or brought up to this version, where it must be."""
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        _use_write_ahead_log(connection, time.monotonic() + busy_seconds)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def remedy(exc: Exception) -> str:
    """What to do about an error; empty where nothing is known."""
    if isinstance(exc, UnicodeError):
        return "A text has a character that is no Unicode text; nothing of this was stored."
    if isinstance(exc, msgspec.MsgspecError):
        return "What is stored is damaged; restore the file from a backup."
    return next((remedy for sign, remedy in _REMEDIES.items() if sign in str(exc)), "")


def _use_write_ahead_log(connection: sqlite3.Connection, deadline: float) -> None:
    # SQLite's own busy timeout does not cover this one statement: of several processes that make a file together,
    # those that come second are refused at once (https://sqlite.org/wal.html, "Sometimes Queries Return SQLITE_BUSY").
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() > deadline:
                raise
        time.sleep(BUSY_POLL_SECONDS)


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"it was written by a newer agno_rt (schema {version}, here {SCHEMA_VERSION})")
        for schema in _SCHEMAS[version:]:
            for statement in schema.split(";"):
                connection.execute(statement)
        if version < SCHEMA_VERSION:
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
