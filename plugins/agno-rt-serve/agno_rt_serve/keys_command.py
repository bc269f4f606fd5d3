"""The command `agno-rt serve keys`: adds, lists and revokes the API keys of a server."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import attrs
import click

from agno_rt.cli.options import debug_option, json_option
from agno_rt.cli.report import notice
from agno_rt.cli.tables import Column, print_json_lines, print_table, when
from agno_rt.config import FILE_NAME, load_config, read_settings
from agno_rt.errors import UsageError
from agno_rt_serve.auth.audit import Audit
from agno_rt_serve.auth.key_store import KeyStore, Rights, StoredKey
from agno_rt_serve.auth.scopes import USUAL
from agno_rt_serve.settings import Settings, keys_place

__all__ = ["keys"]

_EXPIRES = re.compile(r"(\d{1,6})([mhdwy])")
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_file_option = click.option("--keys-file", metavar="FILE", help="The file of keys. [serve-keys.json, or keys_file]")


@attrs.frozen
class _Listed:
    """A row of the list, without secrets."""

    name: str
    prefix: str
    user: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None
    expired: bool
    rate: str
    spend: str


@attrs.frozen
class _Place:
    """The file of keys, and the audit log of the same settings."""

    store: KeyStore
    audit: Audit | None

    def note(self, event: str, key: StoredKey) -> None:
        """Write the change of a key into the audit log, if any."""
        if self.audit is not None:
            self.audit.write(event, key=key.prefix, name=key.name, user=key.user, scopes=key.scopes)


@click.group("keys")
def keys() -> None:
    """Make and revoke API keys for the clients of `agno-rt serve`.

    The file has hashes, and never a key. By default the file is serve-keys.json beside the agno-rt.toml of the
    folder. A running server with the file sees changes within a second.
    """


@keys.command("add")
@click.argument("name")
@click.option("--user", metavar="USER", help="The user whose sessions and runs the key has. [NAME]")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    help="KIND:NAME:ACTION, such as agents:assistant:run; or admin.",
)
@click.option("--expires", default="", metavar="TIME", help="Time until the key expires: 12h, 30d, 1y. [never]")
@click.option("--rate", default="", metavar="RATE", help="Requests in a time, such as 60/m.")
@click.option("--spend", default="", metavar="AMOUNT", help="Cost of runs in a time, such as 5/day.")
@_file_option
@debug_option
def add_key(name: str, user: str | None, keys_file: str | None, expires: str, **limits: Any) -> None:
    """Add a key, and print the key once: the key is not kept.

    Without --scope the key runs everything, and has the user's sessions, runs and facts.
    """
    place, now = _find_place(keys_file), time.time()
    until = _read_expires(expires, now)
    text, key = place.store.add(name, Rights(expires=until, **limits), now=now, user=user)
    place.note("key_added", key)
    # The key alone on standard output: for `agno-rt serve keys add ci > key`.
    click.echo(text)
    notice(f"Added {key.prefix} for the user {key.user!r} to {place.store.path}. It is not shown again.")


@keys.command("list")
@json_option
@_file_option
@debug_option
def list_keys(as_json: bool, keys_file: str | None) -> None:
    """List the beginnings of the keys."""
    place, now = _find_place(keys_file), time.time()
    listed = [
        _Listed(
            each.name,
            each.prefix,
            each.user,
            each.scopes,
            each.created,
            each.expires,
            each.expires is not None and each.expires <= now,
            each.rate,
            each.spend,
        )
        for each in place.store.load()
    ]
    if as_json:
        print_json_lines(listed)
        return
    rows = [
        (
            each.name,
            each.prefix,
            each.user,
            "usual" if each.scopes == USUAL else " ".join(each.scopes),
            f"{when(each.expires)}{' (expired)' if each.expired else ''}",
            " ".join(filter(None, (each.rate, each.spend))),
        )
        for each in listed
    ]
    columns = [Column("NAME", whole=True), Column("KEY", whole=True)]
    columns += [Column(title) for title in ("USER", "SCOPES", "EXPIRES", "LIMITS")]
    print_table(columns, rows, empty=f"There are no keys in {place.store.path}. For one: agno-rt serve keys add NAME")


@keys.command("revoke")
@click.argument("name")
@_file_option
@debug_option
def revoke_key(name: str, keys_file: str | None) -> None:
    """Revoke the key of a name, or with a beginning."""
    place = _find_place(keys_file)
    key = place.store.revoke(name)
    place.note("key_revoked", key)
    notice(f"Revoked {key.prefix} ({key.name}). Running servers refuse it within a second.")


def _find_place(keys_file: str | None) -> _Place:
    path = Path(FILE_NAME)
    settings = Settings()
    if path.is_file():
        settings = read_settings(Settings, load_config(path).plugins.get("serve", {}), "[plugins.serve]")
    audit = Audit(Path(settings.audit_log)) if settings.audit_log else None
    return _Place(KeyStore(Path(keys_file) if keys_file else keys_place(settings, Path())), audit)


def _read_expires(text: str, now: float) -> float | None:
    if not text:
        return None
    found = _EXPIRES.fullmatch(text)
    if found is None or int(found[1]) < 1:
        raise UsageError(f"--expires {text!r} is not a time", hint="Write a number and a unit: 90m, 12h, 30d, 8w, 1y.")
    return now + int(found[1]) * _SECONDS[found[2]]
