"""Failures of the database, as errors with the place, the remedy and the loss."""

from __future__ import annotations

import msgspec

from agno_rt.errors import BackendError
from agno_rt_postgres.connection import Lost, Refused
from agno_rt_postgres.migrations import NotMigrated, SQLFailed
from agno_rt_postgres.pool import CannotConnect
from agno_rt_postgres.transactions import Unknown

__all__ = ["FAILURES", "Damaged", "backend_error"]


class Damaged(Exception):
    """A row cannot be read; the message names the row."""

    def __init__(self, row: str, why: object) -> None:
        super().__init__(f"{row} cannot be read: {why}")


FAILURES = (
    Damaged,
    Lost,
    Refused,
    CannotConnect,
    NotMigrated,
    SQLFailed,
    Unknown,
    msgspec.MsgspecError,
    UnicodeError,
    OverflowError,
    OSError,
)
"""The errors of operations for which the database, or the data to store, is at fault."""

_NOTHING = "Nothing was stored."
_BY_CODE = {
    "22021": f"A text has a character that PostgreSQL does not store. {_NOTHING}",
    "25006": f"The server is read-only, perhaps a standby: connect to the primary. {_NOTHING}",
    "28": "Check the user and the password in the URL, and pg_hba.conf on the server.",
    "3D000": "Create the database: createdb NAME.",
    "40P01": f"Other processes kept changing the same rows; try again. {_NOTHING}",
    "42501": "Grant the user the rights that the plugin's README lists under Permissions.",
    "42P01": "Another program changed the tables; restore them from a backup.",
    "42703": "Another program changed the tables; restore them from a backup.",
    "53100": f"The server's disk is full: make room and try again. {_NOTHING}",
    "53300": "The server has too many connections: raise max_connections, or lower pool= in the URL.",
    "54000": f"A value is too large for PostgreSQL. {_NOTHING}",
    "55P03": f"Another program keeps the rows locked; try again. {_NOTHING}",
    "57014": f"The server took longer than timeout= in the URL allows; raise it, or look at its load. {_NOTHING}",
}
"""Remedies by the beginning of PostgreSQL's code (appendix A of its manual)."""

_BY_MESSAGE = {
    "no encryption": "Perhaps the server takes TLS alone: write sslmode=verify-full in the URL.",
    "root certificate": "Check sslmode= and sslrootcert= in the URL.",
    "password": _BY_CODE["28"],
    "pg_hba": _BY_CODE["28"],
    "role": _BY_CODE["28"],
    "does not exist": _BY_CODE["3D000"],
    "too many": _BY_CODE["53300"],
    "remaining connection slots": _BY_CODE["53300"],
    "translate host name": "Check the name of the host in the URL.",
    "invalid": "Check the options in the URL.",
    "certificate": "Check sslmode= and sslrootcert= in the URL.",
    "SSL": "Check sslmode= in the URL, and ssl on the server.",
    "encoding": "Create a database for it: createdb --encoding UTF8 --template template0 NAME.",
    "13 or newer": "Upgrade the server, or use another.",
}
_EXTENSION = (
    "Install pgvector on the server (https://github.com/pgvector/pgvector), and let an administrator run"
    " CREATE EXTENSION vector in this database. Nothing was stored."
)
_CONNECT = "Check that the server runs, and that the URL has its host and port."


def backend_error(place: str, exc: Exception) -> BackendError:
    """Make the error for a failure of the database."""
    return BackendError(f"{place}: {exc}", hint=_find_remedy(exc))


_BY_CLASS: dict[type[Exception], str] = {
    Unknown: "It may be stored or not: read it again before you write it again.",
    Lost: f"{_NOTHING} Try again; if it happens again, look at the server's log and at the network.",
    Damaged: "This row is damaged, others can be read: delete its session, run or fact, or restore a backup.",
    UnicodeError: f"A text has a character that is not Unicode text, such as half of a surrogate pair. {_NOTHING}",
    msgspec.MsgspecError: "The stored data is damaged; restore the database from a backup.",
}


def _find_remedy(exc: Exception) -> str:
    if isinstance(exc, SQLFailed) and 'extension "vector"' in exc.message:
        return _EXTENSION
    if isinstance(exc, Refused | SQLFailed):
        return next((remedy for code, remedy in _BY_CODE.items() if exc.code.startswith(code)), _NOTHING)
    if isinstance(exc, CannotConnect):
        return next((remedy for sign, remedy in _BY_MESSAGE.items() if sign in str(exc)), _CONNECT)
    if isinstance(exc, NotMigrated):
        return "Upgrade agno-rt-postgres." if "newer" in str(exc) else "Run: agno-rt memory migrate"
    return next((remedy for kind, remedy in _BY_CLASS.items() if isinstance(exc, kind)), _NOTHING)
