"""The PostgreSQL server that the environment names, for the tests of plugins."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import pytest
from psycopg import pq

__all__ = ["SERVER", "find_server", "run_sql"]

SERVER = os.environ.get("AGNO_RT_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
_HOW = (
    "start PostgreSQL, for example `docker run -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust -e POSTGRES_DB=test"
    " postgres`, or name a server in AGNO_RT_TEST_POSTGRES"
)


def run_sql(sql: str, server: str = SERVER) -> list[tuple[str | None, ...]]:
    """Execute SQL on the server, past the plugin, and return the rows of the last statement."""
    conn = pq.PGconn.connect(server.encode())
    try:
        assert conn.status == pq.ConnStatus.OK, conn.error_message.decode()
        conn.exec_(b"SET synchronous_commit = off")  # no power fails here
        result = conn.exec_(sql.encode())
        assert result.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK), result.error_message.decode()
        rows = [[result.get_value(row, at) for at in range(result.nfields)] for row in range(result.ntuples)]
        return [tuple(None if value is None else value.decode() for value in row) for row in rows]
    finally:
        conn.finish()


def find_server() -> str:
    """Return the URL of the server; skip the test where there is none, or let it fail in CI."""
    conn = pq.PGconn.connect(SERVER.encode() + b"?connect_timeout=3")
    there, why = conn.status == pq.ConnStatus.OK, conn.error_message.decode().strip()
    conn.finish()
    if not there:
        message = f"no PostgreSQL at {urlsplit(SERVER).hostname}: {why}; {_HOW}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return SERVER
