"""The tables of knowledge in an SQLite file, or in memory. Other tables may be in the same file."""

from __future__ import annotations

import sqlite3

__all__ = ["MemoryFile", "make_tables"]

_VERSION = 1

# `user` is empty for documents for everyone: no user has an empty name. `searched` is `Chunk.searched_text`, and its
# first `skip` characters are not part of the chunk's text. `words` are the indexed words, packed: the index keeps no
# text, and has to be told the words to forget. The index is merged often: each segment costs every search a look.
# `key` is the hash of `searched`, and vectors belong to keys: equal texts share a vector, and a text keeps the vector
# in a new version of a document.
_SCHEMA = """
    CREATE TABLE knowledge_schema (version INTEGER NOT NULL, removed INTEGER NOT NULL);
    CREATE TABLE knowledge_documents (
        id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, user TEXT NOT NULL, title TEXT NOT NULL,
        media_type TEXT NOT NULL, metadata TEXT NOT NULL, digest TEXT NOT NULL, chunks INTEGER NOT NULL,
        characters INTEGER NOT NULL, added_at REAL NOT NULL,
        UNIQUE (source, user)
    );
    CREATE TABLE knowledge_chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        document INTEGER NOT NULL REFERENCES knowledge_documents (id), number INTEGER NOT NULL, key BLOB NOT NULL,
        start INTEGER NOT NULL, "end" INTEGER NOT NULL, headings TEXT NOT NULL, place TEXT NOT NULL,
        skip INTEGER NOT NULL, searched TEXT NOT NULL, words BLOB NOT NULL
    );
    CREATE INDEX knowledge_chunks_by_document ON knowledge_chunks (document);
    CREATE INDEX knowledge_chunks_by_key ON knowledge_chunks (key);
    CREATE TABLE knowledge_spaces (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, dimensions INTEGER NOT NULL);
    CREATE TABLE knowledge_vectors (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, space INTEGER NOT NULL REFERENCES knowledge_spaces (id),
        key BLOB NOT NULL, vector BLOB NOT NULL,
        UNIQUE (key, space)
    );
    CREATE VIRTUAL TABLE knowledge_words USING fts5 (
        words, content='', tokenize="porter unicode61 remove_diacritics 2 categories 'L* N* M* Co'"
    );
    INSERT INTO knowledge_words (knowledge_words, rank) VALUES ('automerge', 2)
"""


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables if there are none. Raises `sqlite3.DatabaseError` for tables of a newer agno_rt."""
    if _read_version(connection) == _VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        # Read again under the lock: another process may have made the tables meanwhile.
        version = _read_version(connection)
        if version > _VERSION:
            raise sqlite3.DatabaseError(f"it was written by a newer agno_rt (knowledge {version}, here {_VERSION})")
        if version == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute("INSERT INTO knowledge_schema VALUES (?, 0)", (_VERSION,))


def _read_version(connection: sqlite3.Connection) -> int:
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'knowledge_schema'").fetchone()
    return 0 if there is None else int(connection.execute("SELECT version FROM knowledge_schema").fetchone()[0])


class MemoryFile:
    """Stands in for an `SQLiteFile`: a database in memory, gone with the connection."""

    def open(self, *, to_write: bool) -> sqlite3.Connection:
        """Open a new, empty database."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        make_tables(connection)
        return connection

    def identity(self) -> tuple[int, int]:
        """Return the same each time: nothing replaces the database."""
        return 0, 0

    def may_be_read_on(self) -> bool:
        """Return true: nobody else waits for the database."""
        return True
