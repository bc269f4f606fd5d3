"""Reads agno-rt.toml into values, and its tables into attrs classes, with errors that name file, line and key.

Opens nothing. Spec strings (`plugin:name`) and URLs in the file stay strings.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import attrs
import msgspec

from agno_rt.errors import ConfigError, UsageError, suggest
from agno_rt.limits import Limits
from agno_rt.memory import MemoryPolicy
from agno_rt.models import ModelSettings

if TYPE_CHECKING:
    from agno_rt.knowledge.base import Knowledge

__all__ = [
    "FILE_NAME",
    "AgentConfig",
    "Config",
    "ConfigWarning",
    "RuntimeConfig",
    "TeamConfig",
    "WorkflowConfig",
    "file_error",
    "load_config",
    "read_settings",
    "settings_error",
]

FILE_NAME = "agno-rt.toml"

C = TypeVar("C")


class ConfigWarning(UserWarning):
    """A part of a configuration without effect. The second line of the text has the remedy."""


@attrs.frozen
class RuntimeConfig:
    """The table `[runtime]`: the memory URL, files or import paths with agents, observers, blocked plugins."""

    memory: str = "memory:"
    load: tuple[str, ...] = ()
    observers: tuple[str, ...] = ()
    block: tuple[str, ...] = ()


@attrs.frozen
class AgentConfig:
    """A table `[agents.NAME]`: an agent whose parts are all strings, numbers and tables."""

    model: str
    instructions: str = ""
    tools: tuple[str, ...] = ()
    memory: MemoryPolicy = MemoryPolicy()
    settings: ModelSettings = ModelSettings()
    limits: Limits | None = None
    hooks: tuple[str, ...] = ()
    description: str = ""


@attrs.frozen
class TeamConfig:
    """A table `[teams.NAME]`: a team of runnables, by their names. `settings` are the mode's fields."""

    members: tuple[str, ...]
    mode: str = "sequential"
    settings: Mapping[str, Any] = attrs.Factory(dict)
    description: str = ""
    limits: Limits | None = None
    on_error: Literal["cancel", "keep"] = "cancel"
    at_once: int | None = None
    model: str | None = None
    memory: MemoryPolicy = MemoryPolicy()


@attrs.frozen
class WorkflowConfig:
    """A table `[workflows.NAME]`: nodes are names of runnables, lists, and tables such as `{map = "writer"}`."""

    nodes: tuple[Any, ...]
    description: str = ""
    limits: Limits | None = None
    version: int = 1


@attrs.frozen
class Config:
    """A whole agno-rt.toml. `path` is the file, or `None` without a file."""

    path: Path | None = None
    runtime: RuntimeConfig = RuntimeConfig()
    limits: Limits = Limits()
    agents: Mapping[str, AgentConfig] = attrs.Factory(dict)
    plugins: Mapping[str, Mapping[str, Any]] = attrs.Factory(dict)
    teams: Mapping[str, TeamConfig] = attrs.Factory(dict)
    workflows: Mapping[str, WorkflowConfig] = attrs.Factory(dict)
    knowledge: Mapping[str, Knowledge] = attrs.Factory(dict)

    @property
    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        """The settings of each plugin by name, as a runtime takes them; those of `knowledge` are the knowledge."""
        return {**self.plugins, "knowledge": self.knowledge} if self.knowledge else self.plugins


def load_config(path: Path) -> Config:
    """Read the file. Raises `ConfigError`, with file, line and key, for anything wrong."""
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}", hint="`agno-rt init` writes one to start from.") from None
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        hint = "Correct the file there; https://toml.io describes the format."
        raise ConfigError(f"{path} is not valid TOML: {exc}", hint=hint) from exc
    return _Reader(path, text).config(data)


def read_settings(cls: type[C], settings: Mapping[str, Any], where: str) -> C:
    """Make `cls`, an attrs class, from a table. `where` names the table in errors, such as `[plugins.openai]`.

    Raises `ConfigError` for a key that is unknown (with the nearest key), missing, of the wrong type or out of range.
    """
    reader = settings.reader if isinstance(settings, Table) else _Reader(None, "")
    return reader.table(cls, settings, where.strip("[]"))


def settings_error(problem: str, settings: Mapping[str, Any], where: str, hint: str = "", key: str = "") -> ConfigError:
    """Return an error about a table or one of its keys, with the file and the line if `settings` come from a file."""
    reader = settings.reader if isinstance(settings, Table) else _Reader(None, "")
    return reader.error(problem, where.strip("[]"), key, hint)


def file_error(path: Path | None, problem: str, table: str, key: str, hint: str = "") -> ConfigError:
    """Return an error about a key of a table of the file, with the line. Reads the file again to find the line."""
    try:
        text = "" if path is None else path.read_text(encoding="utf-8")
    except OSError:
        text = ""
    return _Reader(path, text).error(problem, table, key, hint)


class Table(dict[str, Any]):
    """A table with its file, so that an error in one of its values can name the line."""

    def __init__(self, data: Mapping[str, Any], reader: _Reader) -> None:
        super().__init__(
            (key, Table(value, reader) if isinstance(value, Mapping) else value) for key, value in data.items()
        )
        self.reader = reader


@attrs.frozen
class _Reader:
    path: Path | None
    text: str

    def config(self, data: Mapping[str, Any]) -> Config:
        self._known(Config, data, "", skip="path")
        agents = self._tables(data, "agents")
        return Config(
            path=self.path,
            runtime=self.table(RuntimeConfig, self._mapping(data, "runtime"), "runtime"),
            limits=self.table(Limits, self._mapping(data, "limits"), "limits"),
            agents={name: self.table(AgentConfig, table, f"agents.{name}") for name, table in agents.items()},
            teams={name: self._team(name, table) for name, table in self._tables(data, "teams").items()},
            plugins={name: Table(table, self) for name, table in self._tables(data, "plugins").items()},
            workflows={
                name: self.table(WorkflowConfig, table, f"workflows.{name}")
                for name, table in self._tables(data, "workflows").items()
            },
            knowledge=self._knowledge(data) if "knowledge" in data else {},
        )

    def _knowledge(self, data: Mapping[str, Any]) -> dict[str, Knowledge]:
        from agno_rt.knowledge.base import Knowledge  # few projects have any

        tables = self._tables(data, "knowledge")
        return {name: self.table(Knowledge, table, f"knowledge.{name}") for name, table in tables.items()}

    def _team(self, name: str, data: Mapping[str, Any]) -> TeamConfig:
        config = self.table(TeamConfig, data, f"teams.{name}")
        # A `Table`, so that an error in a setting can name the line.
        return attrs.evolve(config, settings=Table(config.settings, self))

    def table(self, cls: type[C], data: Mapping[str, Any], where: str) -> C:
        self._known(cls, data, where)
        for key, kind in get_type_hints(cls).items():
            self._part(key, kind, data, where)
        try:
            return msgspec.convert(dict(data), cls)
        except msgspec.ValidationError as exc:
            # msgspec names the place only in its text: "Expected `int`, got `str` - at `$.name[0]`".
            problem, _, path = str(exc).partition(" - at `$")
            key = path.strip("`.").partition(".")[0].partition("[")[0]
            hint = _list_choices(get_type_hints(cls).get(key)) if "enum" in problem else ""
            if missing := re.search(r"missing required field `(\w+)`", problem):
                problem, hint = missing[0], f"Add the key to the table: {missing[1]} = ..."
            elif problem == "Expected `array`, got `str`" and isinstance(data.get(key), str):
                hint = f'Write a list: {key} = ["..."]'  # without the value, which may be a secret
            raise self.error(f"{problem[:1].lower()}{problem[1:]}", where, key, hint) from exc
        except UsageError as exc:
            # A class that checks its own values names the field in the text of its error.
            named = (key for key in data if re.search(rf"\b{re.escape(key)}\b", exc.message))
            raise self.error(exc.message, where, next(named, ""), exc.hint) from exc

    def _part(self, key: str, kind: Any, data: Mapping[str, Any], where: str) -> None:
        """Check a table within the table by itself, so that an error names the inner table."""
        # The class may be within a union, such as `Limits | None`.
        part = next((one for one in (kind, *get_args(kind)) if isinstance(one, type) and attrs.has(one)), None)
        if part is not None and isinstance(value := data.get(key), Mapping):
            self.table(part, value, f"{where}.{key}")

    def _known(self, cls: type[Any], data: Mapping[str, Any], where: str, skip: str = "") -> None:
        known = [field.name for field in attrs.fields(cls) if field.name != skip]
        for key in data:
            if key not in known:
                raise self.error(f"unknown key {key!r}", where, key, suggest("key", key, known))

    def _tables(self, data: Mapping[str, Any], key: str) -> dict[str, Mapping[str, Any]]:
        tables = self._mapping(data, key)
        return {name: self._mapping(tables, name, f"{key}.") for name in tables}

    def _mapping(self, data: Mapping[str, Any], key: str, before: str = "") -> Mapping[str, Any]:
        value = data.get(key, {})
        if not isinstance(value, Mapping):
            raise self.error(f"{key!r} is not a table", before.rstrip("."), key, f"Write [{before}{key}].")
        return value

    def error(self, problem: str, table: str, key: str, hint: str = "") -> ConfigError:
        """Return an error with the file, the line and the table."""
        place = [f"[{table}]" if table else "at the top"]
        if self.path is not None:
            line = _find_line_of(self.text, table, key)
            place.insert(0, f"{self.path}:{line}" if line else str(self.path))
        named = f"{key!r}: " if key and key not in problem else ""
        error = ConfigError(f"{named}{problem}", hint=hint)
        error.at(", ".join(place))
        return error


def _list_choices(kind: Any) -> str:
    """Return a hint with the values that a type of fixed values allows, or "" for any other type."""
    choices: list[Any] = []
    kinds = [kind]
    while kinds:
        each = kinds.pop(0)
        if get_origin(each) is Literal:
            choices += get_args(each)
        else:
            kinds += get_args(each)
    return f"Write one of {', '.join(map(repr, choices))}." if choices else ""


def _find_line_of(text: str, table: str, key: str) -> int | None:
    """Return the line of the key in its table, or of the table's header, by a search of the text."""
    # tomllib keeps no positions. A wrong guess only costs the line number in an error.
    inside, header = table == "", None
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            name = _parse_header(line)
            inside = name == table
            header = number if inside else header
            if name == f"{table}.{key}".lstrip("."):
                return number
        elif inside and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    if header is None and "." in table:
        # The table may be written within the line of its key: settings = {by = "triage"}.
        return _find_line_of(text, *table.rpartition(".")[::2])
    return header


def _parse_header(line: str) -> str:
    """Return the table that a line such as `[agents."b c"]` opens, as a dotted path."""
    try:
        inner: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ""
    path = []
    while isinstance(inner, dict) and inner:
        name, inner = next(iter(inner.items()))
        path.append(name)
    return ".".join(path)
