"""The plugin `data`: toolkits for CSV files, frames, and SQL databases.

Imports nothing slow: the code comes with the first toolkit, and the drivers with the first call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt.readiness import Finding
    from agno_rt.tools import Toolkit

__all__ = ["agno_rt_examine", "agno_rt_register_tools", "make_csv", "make_pandas", "make_sql"]


def make_csv(folder: str, settings: Mapping[str, Any] | None = None) -> Toolkit:
    """Make the toolkit of the CSV files in a folder.

    Raises `UsageError` for a missing folder, and `ConfigError` for the settings.
    """
    from agno_rt_data.csv_files import CsvFolder
    from agno_rt_data.csv_toolkit import csv_tools
    from agno_rt_data.settings import read_data_settings

    _check_folder("csv", folder)
    return csv_tools(CsvFolder(folder, read_data_settings(settings or {})))


def make_pandas(folder: str = "", settings: Mapping[str, Any] | None = None) -> Toolkit:
    """Make the toolkit for frames; with a folder, frames of its CSV files, too.

    Raises `UsageError` for a missing folder, and `ConfigError` for the settings.
    """
    from agno_rt_data.csv_files import CsvFolder
    from agno_rt_data.frame_toolkit import frame_tools
    from agno_rt_data.settings import read_data_settings

    limits = read_data_settings(settings or {})
    return frame_tools(limits, CsvFolder(folder, limits) if folder else None)


def make_sql(database: str, settings: Mapping[str, Any] | None = None) -> Toolkit:
    """Make the toolkit of a database: a name of the table `[plugins.data.databases]`, or a URL.

    URLs are `sqlite:shop.db`, `duckdb:shop.duckdb` and `postgresql://ann@db.example.com/shop`. Raises `UsageError` for
    a missing file or another URL, and `ConfigError` for the settings.
    """
    from agno_rt_data.settings import find_database, read_data_settings
    from agno_rt_data.sql_toolkit import make_database, sql_tools

    limits = read_data_settings(settings or {})
    found = find_database(database, settings or {})
    return sql_tools(make_database(found, limits), limits, prefix=found.prefix)


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer `data:csv:FOLDER`, `data:pandas` and `data:sql:URL`."""
    register("csv", make_csv, help="Read, write, analyze and filter the CSV files of a folder: data:csv:FOLDER.")
    register(
        "pandas", make_pandas, help="Make, look at, filter and group frames of data: data:pandas, data:pandas:FOLDER."
    )
    register(
        "sql", make_sql, help="Query a database: data:sql:NAME, data:sql:sqlite:shop.db, data:sql:postgresql://..."
    )


@hookimpl
def agno_rt_examine(settings: Mapping[str, Any]) -> Iterable[Finding]:
    """Tell of wrong settings, and of databases that cannot be used."""
    from agno_rt_data.examine import check_settings

    return list(check_settings(settings))


def _check_folder(name: str, folder: str) -> None:
    from agno_rt.errors import UsageError

    if not folder:
        raise UsageError(f"data:{name} names no folder", hint=f"Write data:{name}:FOLDER.")
