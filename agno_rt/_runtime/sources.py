"""Loads the Python files and modules that a project or a command line names, with errors that name the line."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from agno_rt._drive.tool_worker import import_file
from agno_rt.errors import ConfigError, NotFound, UsageError
from agno_rt.failures import must_pass, named

__all__ = ["import_from", "load_module", "must_exist"]


def load_module(source: str, folder: Path) -> ModuleType:
    """Load a .py file in the folder, or else a module by its import path.

    Raises `NotFound` for a source that is not there, `ConfigError` for one that fails when it is run.
    """
    return _from_file(folder / source) if source.endswith(".py") else _from_path(source)


def must_exist(path: Path) -> None:
    """Raise `NotFound`, with the files of that kind beside it, where there is no such file."""
    if not path.is_file():
        raise NotFound("file", str(path), [str(other) for other in path.parent.glob(f"*{path.suffix}")])


def import_from(folder: Path) -> None:
    """Let a file import its neighbours, as Python does for a script."""
    if (place := str(folder.resolve())) not in sys.path:
        sys.path.insert(0, place)


def _from_file(path: Path) -> ModuleType:
    must_exist(path)
    import_from(path.parent)
    try:
        return import_file(_module_name(path), path)
    except UsageError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise ConfigError(f"{_place(path, exc)} fails when it is run: {named(exc)}") from exc


def _module_name(path: Path) -> str:
    """A name that no other module has: what is in two files of one name is found in each."""
    name, number = f"agno_rt_agents_{path.stem}", 1
    while (file := getattr(sys.modules.get(name), "__file__", None)) and Path(file).resolve() != path.resolve():
        number += 1
        name = f"agno_rt_agents_{path.stem}_{number}"
    return name


def _place(path: Path, exc: BaseException) -> str:
    """The file and the line of it that failed, or that called what failed."""
    frames = traceback.extract_tb(exc.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _from_path(path: str) -> ModuleType:
    import_from(Path())
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{path}.".startswith(f"{exc.name}."):
            raise ConfigError(f"{path} fails when it is imported: {exc}") from exc
        hint = "Name a .py file, an importable module or a .toml file."
        raise NotFound("module", path, (), hint=hint) from exc
    except UsageError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise ConfigError(f"{path} fails when it is imported: {named(exc)}") from exc
