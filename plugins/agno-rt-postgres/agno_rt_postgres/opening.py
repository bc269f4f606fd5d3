"""Opens connections and makes the tables, in a thread."""

from __future__ import annotations

import os
import selectors
import socket
import time
from typing import TYPE_CHECKING, Any

import attrs
import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agno_rt.upkeep import Migration
from agno_rt_postgres.connection import Connection
from agno_rt_postgres.migrations import list_migrations, prepare_schema, read_applied, run_migrations, run_sql
from agno_rt_postgres.urls import Settings

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

__all__ = ["CannotConnect", "apply_migrations", "connect", "list_applied", "open_connection"]

LEAST_VERSION = 130_000
"""PostgreSQL 13 has transaction numbers of 64 bits, as `pg_xact_status` takes."""


class CannotConnect(Exception):
    """There is no connection, or no usable database; the message has the reason."""


def connect(settings: Settings) -> PGconn:
    """Connect and return, blocking the calling thread alone. Raises `CannotConnect`."""
    # `PGconn.connect` would keep the interpreter's lock until the server has answered.
    conn = pq.PGconn.connect_start(_resolve(settings.conninfo).encode())
    try:
        _finish_greeting(conn, time.monotonic() + settings.timeout)
        _check(conn)
    except BaseException:
        conn.finish()
        raise
    return conn


def open_connection(settings: Settings, is_first: bool) -> Connection:
    """Open a connection with the tables in the search path, blocking; the first connection makes the tables.

    Raises `CannotConnect`.
    """
    conn = connect(settings)
    try:
        if is_first:
            prepare_schema(conn, settings)
        milliseconds = int(settings.timeout * 1000)
        # A server without sight of this process frees the locks after as long as this process waits.
        run_sql(
            conn,
            f'SET search_path = "{settings.schema}"; SET statement_timeout = {milliseconds};'
            f" SET idle_in_transaction_session_timeout = {milliseconds}",
        )
        if settings.synchronous == "normal":
            run_sql(conn, "SET synchronous_commit = off")
        if is_first:
            run_sql(conn, "DELETE FROM commits WHERE at < now() - interval '1 day'")
        return Connection(conn)
    except BaseException:
        conn.finish()
        raise


def list_applied(settings: Settings) -> list[Migration]:
    """Return every migration, with its state, blocking. Raises `CannotConnect`, `NotMigrated`."""
    conn = connect(settings)
    try:
        applied = read_applied(conn, settings)
    finally:
        conn.finish()
    return [attrs.evolve(each, applied=each.number <= applied) for each in list_migrations(settings.tables)]


def apply_migrations(settings: Settings) -> list[Migration]:
    """Apply the missing migrations, blocking, and return them. Raises `CannotConnect`, `NotMigrated`, `SQLFailed`."""
    conn = connect(settings)
    try:
        read_applied(conn, settings)
        return [attrs.evolve(each, applied=True) for each in run_migrations(conn, settings)]
    finally:
        conn.finish()


def _resolve(conninfo: str) -> str:
    """Return the parameters with addresses of the hosts: libpq would look up names under the interpreter's lock."""
    try:
        params: dict[str, Any] = dict(conninfo_to_dict(conninfo))
    except psycopg.Error as exc:
        raise CannotConnect(str(exc).strip()) from exc
    hosts = str(params.get("host") or "").split(",")
    ports = str(params.get("port") or os.environ.get("PGPORT") or "5432").split(",")
    if params.get("hostaddr") or not any(hosts) or any(host.startswith("/") for host in hosts):
        return make_conninfo(**params)
    if len(ports) != len(hosts):
        ports = ports[:1] * len(hosts)
    found: list[tuple[str, str, str]] = []
    failure: OSError | None = None
    for host, port in zip(hosts, ports, strict=True):
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as exc:
            failure = exc
            continue
        found += [(host, str(address[0]), port) for *_, address in addresses]
    if not found:
        raise CannotConnect(f"could not translate host name {','.join(hosts)!r} to address: {failure}")
    names, addresses_, numbers = (",".join(each) for each in zip(*found, strict=True))
    params.update(host=names, hostaddr=addresses_, port=numbers)
    return make_conninfo(**params)


def _finish_greeting(conn: PGconn, until: float) -> None:
    """Poll the connection until it is open. See libpq's manual on `PQconnectPoll`."""
    wanted = selectors.EVENT_WRITE
    while conn.status != pq.ConnStatus.BAD:
        left = until - time.monotonic()
        # The socket may be another one for each address.
        with selectors.DefaultSelector() as selector:
            selector.register(conn.socket, wanted)
            if left <= 0 or not selector.select(left):
                raise CannotConnect("the server did not accept the connection in time: timeout")
        match conn.connect_poll():
            case pq.PollingStatus.OK | pq.PollingStatus.FAILED:
                return
            case pq.PollingStatus.READING:
                wanted = selectors.EVENT_READ
            case _:
                wanted = selectors.EVENT_WRITE


def _check(conn: PGconn) -> None:
    if conn.status != pq.ConnStatus.OK:
        raise CannotConnect(" ".join(conn.error_message.decode("utf-8", "replace").split()))
    if conn.server_version < LEAST_VERSION:
        raise CannotConnect(f"the server has version {conn.server_version // 10_000}, and 13 or newer is needed")
    encoding = conn.parameter_status(b"server_encoding")
    if encoding != b"UTF8":
        raise CannotConnect(f"the database has the encoding {(encoding or b'?').decode()}, and UTF8 is needed")
    run_sql(conn, "SET client_encoding = 'UTF8'")
