"""The settings of a workspace: the table `[plugins.workspace]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from agno_rt.config import read_settings
from agno_rt.errors import ConfigError

__all__ = ["DENIED", "Approve", "Confine", "WorkspaceSettings", "read_workspace_settings"]

Approve = Literal["all", "destructive", "run", "none"]
Confine = Literal["auto", "bubblewrap", "none"]

DENIED = (".git", ".env", ".env.*", "*.pem", "*.key", ".ssh", ".netrc")
"""Names that the file tools refuse by default: secrets, and the hooks of git, which run as you."""


def _check_number(settings: object, field: Any, value: float) -> None:
    if value <= 0:
        raise ConfigError(f"{field.name} is {value!r}", hint="Give a number above 0.")


@attrs.frozen
class WorkspaceSettings:
    """The permissions and limits of a workspace. Raises `ConfigError` for a number that is not above 0.

    Attributes:
        read_only: refuse all changes; commands run only under bubblewrap, which makes the folder read-only
        approve: the tools that wait for a person: `destructive` (write, edit and run), `run`, `all` or `none`
        deny: patterns of names and of paths for the file tools to refuse. Commands are not bound by the patterns
        only: patterns of files; unless empty, the file tools show and change no other files
        commands: `False` to leave out the tool for commands
        confine: `bubblewrap` runs commands in separate namespaces, and refuses without `bwrap`; `auto` uses
            bubblewrap where possible; `none` runs commands with your rights
        network: let confined commands use the network
        visible: further folders for confined commands to read, for instance a Python outside of /usr
        environment: variables for commands. Of the program's own, commands have PATH and the locale alone
        file_bytes: the most bytes of a file
        entries: the most entries of a list, and the most files to read for a search
        matches: the most lines of a search
        search_seconds: the most seconds of a search
        timeout: the most seconds of a command
        shown_bytes: the most bytes of a command's output to show: the beginning and the end
        output_bytes: the most bytes of output; a command with more is killed
        processes: the most processes of a command at once; a command with more is killed
        memory_bytes: the most memory of each process of a command
        written_bytes: the most bytes of each file written by a command
        at_once: the most commands at once
    """

    read_only: bool = False
    approve: Approve = "destructive"
    deny: tuple[str, ...] = attrs.field(default=DENIED, converter=tuple)
    only: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    commands: bool = True
    confine: Confine = "auto"
    network: bool = False
    visible: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    environment: Mapping[str, str] = attrs.field(factory=dict)
    file_bytes: int = attrs.field(default=1_000_000, validator=_check_number)
    entries: int = attrs.field(default=1_000, validator=_check_number)
    matches: int = attrs.field(default=100, validator=_check_number)
    search_seconds: float = attrs.field(default=10.0, validator=_check_number)
    timeout: float = attrs.field(default=60.0, validator=_check_number)
    shown_bytes: int = attrs.field(default=30_000, validator=_check_number)
    output_bytes: int = attrs.field(default=10_000_000, validator=_check_number)
    processes: int = attrs.field(default=64, validator=_check_number)
    memory_bytes: int = attrs.field(default=2_000_000_000, validator=_check_number)
    written_bytes: int = attrs.field(default=100_000_000, validator=_check_number)
    at_once: int = attrs.field(default=2, validator=_check_number)


def read_workspace_settings(settings: Mapping[str, Any]) -> WorkspaceSettings:
    """Make the settings from a table. Raises `ConfigError`."""
    return read_settings(WorkspaceSettings, settings, "[plugins.workspace]")
