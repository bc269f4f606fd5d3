"""The file of `SQLiteMemory`: its opening and its schema."""

from __future__ import annotations

import os
import sqlite3
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal, TypeAlias

from agno_rt.upkeep import Migration

__all__ = ["BUSY_SECONDS", "SCHEMA_VERSION", "SQLiteFile", "Synchronous"]

BUSY_SECONDS = 10.0
"""The default time that a write waits for another process that writes."""
BUSY_POLL_SECONDS = 0.005
CHECKPOINT_PAGES = 4_000
"""Pages in the log before SQLite copies the pages into the file, four times SQLite's default: a page with the steps of
a run is then copied less often. 4,000 pages are 16 MB."""

Synchronous: TypeAlias = Literal["full", "normal"]

_SCHEMAS: tuple[tuple[str, str], ...] = (
    (
        "sessions and messages",
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
    ),
    (
        "session data, facts and cached answers",
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
    ),
    # `mark` is random: it tells a session from a deleted session of the same id. `changed` numbers the changes of all
    # runs, so that their order does not depend on a clock. `seal` is a checksum of the entry.
    (
        "runs, journals and approvals",
        """
        ALTER TABLE sessions ADD COLUMN mark INTEGER NOT NULL DEFAULT 0;
        CREATE TABLE runs (
            id TEXT PRIMARY KEY, agent TEXT NOT NULL, status TEXT NOT NULL, session TEXT, user TEXT, parent TEXT,
            origin TEXT, input TEXT NOT NULL, content TEXT NOT NULL, error TEXT, code TEXT, owner TEXT,
            cancel_requested INTEGER NOT NULL, entries INTEGER NOT NULL, created_at REAL NOT NULL,
            updated_at REAL NOT NULL, changed INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE UNIQUE INDEX runs_by_change ON runs (changed);
        CREATE INDEX runs_by_status ON runs (status);
        CREATE INDEX runs_by_session ON runs (session) WHERE session IS NOT NULL;
        CREATE INDEX runs_by_user ON runs (user) WHERE user IS NOT NULL;
        CREATE TABLE entries (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, seq INTEGER NOT NULL, kind TEXT NOT NULL,
            body BLOB NOT NULL, seal INTEGER NOT NULL,
            PRIMARY KEY (run, seq)
        ) WITHOUT ROWID;
        CREATE TABLE approvals (
            step INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, status TEXT NOT NULL, expires_at REAL,
            body BLOB NOT NULL
        );
        CREATE INDEX approvals_by_run ON approvals (run);
        CREATE INDEX approvals_by_status ON approvals (status)
        """,
    ),
    # `seal` is a checksum of the message or the data; `total` is the number of messages of a session, which shows when
    # the last ones are missing. Both are NULL in older rows.
    (
        "checksums of messages",
        """
        ALTER TABLE messages ADD COLUMN seal INTEGER;
        ALTER TABLE sessions ADD COLUMN seal INTEGER;
        ALTER TABLE sessions ADD COLUMN total INTEGER
        """,
    ),
    # `title` is NULL for a session without a title: its first words are then read from the messages.
    (
        "titles and agents of sessions",
        """
        ALTER TABLE sessions ADD COLUMN title TEXT;
        ALTER TABLE sessions ADD COLUMN agent TEXT NOT NULL DEFAULT '';
        CREATE INDEX sessions_by_user ON sessions (user, updated_at)
        """,
    ),
    (
        "signals",
        """
        CREATE TABLE signals (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, seq INTEGER NOT NULL, name TEXT NOT NULL,
            value BLOB NOT NULL, sent_at REAL NOT NULL,
            PRIMARY KEY (run, seq)
        ) WITHOUT ROWID
        """,
    ),
    # `continues` and `continued_by` name the runs with the journals before and after this one.
    (
        "times, and journals that continue",
        """
        ALTER TABLE runs ADD COLUMN wakes_at REAL;
        ALTER TABLE runs ADD COLUMN continues TEXT;
        ALTER TABLE runs ADD COLUMN continued_by TEXT;
        CREATE INDEX runs_by_wake ON runs (wakes_at) WHERE wakes_at IS NOT NULL;
        CREATE INDEX runs_by_parent ON runs (parent) WHERE parent IS NOT NULL;
        CREATE INDEX runs_by_next ON runs (continued_by) WHERE continued_by IS NOT NULL
        """,
    ),
    # `expires_at` is a time by the clock of the processes that share the file. A row of events holds `count` of them.
    (
        "leases and logs of events",
        """
        CREATE TABLE leases (owner TEXT PRIMARY KEY, expires_at REAL NOT NULL) WITHOUT ROWID;
        CREATE TABLE events (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, first INTEGER NOT NULL, count INTEGER NOT NULL,
            owner TEXT NOT NULL, body BLOB NOT NULL, seal INTEGER NOT NULL,
            PRIMARY KEY (run, first)
        ) WITHOUT ROWID
        """,
    ),
    ("takeovers of runs", "ALTER TABLE runs ADD COLUMN takeovers INTEGER NOT NULL DEFAULT 0"),
    (
        "standing approvals",
        """
        CREATE TABLE grants (
            id TEXT PRIMARY KEY, tool TEXT NOT NULL, user TEXT, created_at REAL NOT NULL, expires_at REAL,
            body BLOB NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX grants_by_tool ON grants (tool, user)
        """,
    ),
    # Lists of runs go by time, as the places of pages do. Each step of a run under way changes its time, and would move
    # the run in each index: the indexes by time are without these runs, which are few, and which `runs_under_way` has.
    # `changed` has no use any more; it is still there because SQLite before 3.35 cannot drop a column.
    (
        "requests of runs, and deep pages of runs",
        """
        ALTER TABLE runs ADD COLUMN request TEXT;
        CREATE INDEX runs_by_request ON runs (request) WHERE request IS NOT NULL;
        DROP INDEX runs_by_change;
        DROP INDEX runs_by_status;
        DROP INDEX runs_by_session;
        DROP INDEX runs_by_user;
        CREATE INDEX runs_under_way ON runs (session, agent) WHERE status = 'running';
        CREATE INDEX runs_by_update ON runs (updated_at, id) WHERE status <> 'running';
        CREATE INDEX runs_by_status ON runs (status, updated_at, id) WHERE status <> 'running';
        CREATE INDEX runs_by_session ON runs (session, updated_at, id)
            WHERE status <> 'running' AND session IS NOT NULL;
        CREATE INDEX runs_by_user ON runs (user, updated_at, id) WHERE status <> 'running'
        """,
    ),
)
"""The additions of each version of the schema, with a name. Never change a released version: files with it exist."""

SCHEMA_VERSION = len(_SCHEMAS)


class SQLiteFile:
    """The file at `path`: created once by this process, and reported when it is gone afterwards.

    `migrate` makes the tables, if not those of `SQLiteMemory`.
    """

    def __init__(
        self,
        path: Path,
        busy_seconds: float,
        synchronous: Synchronous,
        migrate: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        self.path = path
        self._migrate = migrate or _migrate_schema
        self._busy_seconds = busy_seconds
        self._synchronous = synchronous
        self._was_there = False
        self._reads_at_rest = False

    def open(self, *, to_write: bool) -> sqlite3.Connection:
        """Open a connection for this thread; create the file, or migrate the schema, if needed.

        A file that this process has opened before is not created again: its loss must not go unnoticed.
        """
        if self._was_there:
            self.identity()
        else:
            _make_private(self.path)
        is_at_rest = not to_write and self._is_at_rest()
        if not to_write:
            self._reads_at_rest = is_at_rest
        connection = self._connect(is_at_rest=is_at_rest)
        try:
            if not is_at_rest:
                _use_write_ahead_log(connection, time.monotonic() + self._busy_seconds)
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            self._migrate(connection)
            if not to_write:  # only now, because a reader may be the first to open the file and has to migrate it
                connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
        self._was_there = True
        return connection

    def list_migrations(self) -> list[Migration]:
        """Return the migrations, each with whether the file has it, and leave the file as it is."""
        version = 0
        if self.path.exists() and self.path.stat().st_size:
            mode = "mode=ro&immutable=1" if self._is_at_rest() else "mode=ro"
            uri = f"{self.path.absolute().as_uri()}?{mode}"
            with closing(
                sqlite3.connect(uri, timeout=self._busy_seconds, isolation_level=None, uri=True)
            ) as connection:
                version = _read_version(connection)
        _check_version(version)
        return _list_migrations(version)

    def migrate(self) -> list[Migration]:
        """Migrate the file, which is created if needed, and return the migrations that were applied now."""
        _make_private(self.path)
        with closing(self._connect(is_at_rest=False)) as connection:
            _use_write_ahead_log(connection, time.monotonic() + self._busy_seconds)
            before = _migrate_schema(connection)
        return _list_migrations(SCHEMA_VERSION)[before:]

    def _connect(self, *, is_at_rest: bool) -> sqlite3.Connection:
        if not is_at_rest:
            return sqlite3.connect(self.path, timeout=self._busy_seconds, isolation_level=None)
        uri = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
        return sqlite3.connect(uri, timeout=self._busy_seconds, isolation_level=None, uri=True)

    def _is_at_rest(self) -> bool:
        """Return whether the file was closed cleanly, in a folder where this user cannot create its -wal and -shm.

        SQLite reads such a file when told that nobody writes to it (`immutable`).
        """
        real = os.path.realpath(self.path)
        return os.path.isfile(real) and not _may_write(os.path.dirname(real)) and not os.path.exists(f"{real}-wal")

    def identity(self) -> tuple[int, int]:
        """Return device and inode of the file at the path. Raises `sqlite3.OperationalError` if it is gone."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            raise sqlite3.OperationalError("the file is gone") from None
        return status.st_dev, status.st_ino

    def may_be_read_on(self) -> bool:
        """Return whether the reading connection may stay open.

        An open reader of a read-only file blocks writers in the same process. A file that was read at rest may have
        been opened for writing by the next time.
        """
        return not self._reads_at_rest and _may_write(self.path)


_MAKING = threading.Lock()


def _make_private(path: Path) -> None:
    """Create the file, if there is none, for its owner alone: SQLite would let everybody read it.

    SQLite gives -wal and -shm the rights of the file. An error is left for SQLite to report.
    """
    # One thread at a time, and before SQLite opens the file: closing any descriptor of a file drops all POSIX locks of
    # this process on the file (https://sqlite.org/howtocorrupt.html, 2.2).
    with _MAKING, suppress(OSError):
        os.close(os.open(os.path.realpath(path), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _may_write(path: str | Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _use_write_ahead_log(connection: sqlite3.Connection, deadline: float) -> None:
    # SQLite's busy timeout does not cover this statement: if several processes create a file together, all but the
    # first are refused at once (https://sqlite.org/wal.html, "Sometimes Queries Return SQLITE_BUSY").
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() > deadline:
                raise
        time.sleep(BUSY_POLL_SECONDS)


def _migrate_schema(connection: sqlite3.Connection) -> int:
    """Apply the migrations that are missing, and return the number of those applied before."""
    if _read_version(connection) == SCHEMA_VERSION:
        return SCHEMA_VERSION  # the usual case, without waiting for a process that writes
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        # Read again under the lock: another process may have migrated the file meanwhile.
        version = _read_version(connection)
        _check_version(version)
        for _, schema in _SCHEMAS[version:]:
            for statement in schema.split(";"):
                connection.execute(statement)
        if version < SCHEMA_VERSION:
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return version


def _check_version(version: int) -> None:
    if version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"it was written by a newer agno_rt (schema {version}, here {SCHEMA_VERSION})")


def _list_migrations(version: int) -> list[Migration]:
    """Return the migrations, those up to the version as applied."""
    return [
        Migration(number, name, textwrap.dedent(sql).strip(), number <= version)
        for number, (name, sql) in enumerate(_SCHEMAS, 1)
    ]


def _read_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
