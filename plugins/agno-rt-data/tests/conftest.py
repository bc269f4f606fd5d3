"""Databases of each engine with the same two tables, and a database of its own at the PostgreSQL server."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import duckdb
import pytest
from agno_rt_data.settings import DatabaseSettings, DataSettings
from agno_rt_data.sql_base import Database
from agno_rt_data.sql_toolkit import make_database

from tests.servers.postgres_server import find_server
from tests.servers.postgres_server import run_sql as execute

ENGINES = ("sqlite", "duckdb", "postgresql")
TABLES = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, city VARCHAR NOT NULL);"
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers (id), price DECIMAL(8, 2),"
    " note VARCHAR DEFAULT 'none');"
    "CREATE VIEW expensive AS SELECT * FROM orders WHERE price > 10;"
    "INSERT INTO customers VALUES (1, 'Kassel'), (2, 'Marburg');"
    "INSERT INTO orders VALUES (1, 1, 9.5, 'a, b'), (2, 1, 12.25, NULL), (3, 2, 99, 'NULL');"
)

RunSql = Callable[[str], list[tuple[str | None, ...]]]


@pytest.fixture(scope="session")
def server() -> str:
    """Return the URL of the server; skip where there is none, unless in CI."""
    return find_server()


@pytest.fixture(scope="session")
def postgres_url(server: str) -> Iterator[str]:
    """Return the URL of a new database with the tables; the user is a superuser, the worst case."""
    name = f"data_{secrets.token_hex(6)}"
    execute(f"CREATE DATABASE {name}", server)
    url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    execute(TABLES + "CREATE SEQUENCE numbers", url)
    yield url
    execute(f"DROP DATABASE {name} WITH (FORCE)", server)


@pytest.fixture
def run_sql(postgres_url: str) -> RunSql:
    """Execute SQL in the database at the server, past the toolkit."""
    return lambda sql: execute(sql, postgres_url)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Name each engine in turn."""
    name: str = request.param
    return name


@pytest.fixture
def make_data(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Database]:
    """Make the database of an engine: `make_data("sqlite", write=True, seconds=1)`."""

    def make(engine: str, *, write: bool = False, **limits: Any) -> Database:
        if engine == "postgresql":
            url = request.getfixturevalue("postgres_url")
        else:
            path = tmp_path / f"shop.{engine}"
            if not path.exists():
                make_file(engine, path)
            url = f"{engine}:{path}"
        return make_database(DatabaseSettings(url, write), DataSettings(**limits))

    return make


def make_file(engine: str, path: Path) -> None:
    """Make a database file with the tables."""
    if engine == "sqlite":
        conn = sqlite3.connect(path)
        conn.executescript(TABLES)
        conn.close()
    else:
        with duckdb.connect(str(path)) as made:
            made.execute(TABLES)
