"""The settings of the toolkits for data: the table `[plugins.data]`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import attrs

from agno_rt.config import read_settings, settings_error
from agno_rt.errors import ConfigError

__all__ = ["DataSettings", "DatabaseSettings", "find_database", "read_data_settings"]

WHERE = "[plugins.data]"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _check_number(settings: object, field: Any, value: float) -> None:
    if value <= 0:
        raise ConfigError(f"{field.name} is {value!r}", hint="Give a number above 0.")


@attrs.frozen
class DataSettings:
    """The limits of the toolkits, and the databases by name. Raises `ConfigError` for a number that is not above 0.

    Attributes:
        databases: tables `[plugins.data.databases.NAME]`, each with the fields of `DatabaseSettings`
        read_only: refuse changes of CSV files
        approve: let tools that change something wait for a person before each call
        seconds: the most seconds of a query or a statement
        rows: the most rows of an answer
        cell_characters: the most characters of a value in an answer; longer values are cut
        result_characters: the most characters of an answer
        memory_bytes: the most memory of the process of a query to a database file
        file_bytes: the most bytes of a CSV file
        cells: the most cells of a frame, and of the data to write
        frames: the most frames of a run or a session
        at_once: the most queries at once; others wait
    """

    databases: Mapping[str, Any] = attrs.Factory(dict)
    read_only: bool = False
    approve: bool = True
    seconds: float = attrs.field(default=10.0, validator=_check_number)
    rows: int = attrs.field(default=1_000, validator=_check_number)
    cell_characters: int = attrs.field(default=1_000, validator=_check_number)
    result_characters: int = attrs.field(default=40_000, validator=_check_number)
    memory_bytes: int = attrs.field(default=1_000_000_000, validator=_check_number)
    file_bytes: int = attrs.field(default=10_000_000, validator=_check_number)
    cells: int = attrs.field(default=1_000_000, validator=_check_number)
    frames: int = attrs.field(default=20, validator=_check_number)
    at_once: int = attrs.field(default=4, validator=_check_number)


@attrs.frozen
class DatabaseSettings:
    """A database with a name.

    Attributes:
        url: the database: `sqlite:FILE`, `duckdb:FILE` or `postgresql://...`; `${NAME}` is a variable of the
            environment or a key of the user's file of keys
        write: offer a tool for changes; otherwise the engine refuses all changes
        prefix: a text before the names of the tools, for agents with several databases
    """

    url: str
    write: bool = False
    prefix: str = ""


def read_data_settings(settings: Mapping[str, Any]) -> DataSettings:
    """Make the settings from a table. Raises `ConfigError`."""
    return read_settings(DataSettings, settings, WHERE)


def find_database(spec: str, settings: Mapping[str, Any]) -> DatabaseSettings:
    """Return the database of a name or a URL. Raises `ConfigError`."""
    own = settings.get("databases", {})
    if spec not in own:
        return DatabaseSettings(spec)
    where = f"[plugins.data.databases.{spec}]"
    if not isinstance(own[spec], Mapping):
        raise ConfigError(f"the database {spec!r} is not a table", hint=f"Write {where}.")
    found = read_settings(DatabaseSettings, own[spec], where)
    if not re.fullmatch(r"[A-Za-z0-9_]{0,30}", found.prefix):
        hint = "Use letters, digits and underscores: shop_"
        raise settings_error("the prefix is not part of a name", own[spec], where, hint, "prefix")
    return attrs.evolve(found, url=_fill_variables(spec, found.url))


def _fill_variables(name: str, url: str) -> str:
    from agno_rt.keys.find import find_key

    def fill(found: re.Match[str]) -> str:
        if (text := os.environ.get(found[1])) is not None:
            return text
        if (key := find_key(found[1])) is not None:
            return key.text
        hint = f"Set the variable, or store it: agno-rt keys set {found[1]}."
        raise ConfigError(f"the database {name!r} needs {found[1]}, which is not set", hint=hint)

    return _VARIABLE.sub(fill, url)
