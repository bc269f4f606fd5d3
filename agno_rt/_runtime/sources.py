"""Loads Python files and modules of a project or a command line, with the line in errors."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from agno_rt._drive.tool_worker import import_file
from agno_rt.agent import hint_argument
from agno_rt.errors import ConfigError, NotFound, UsageError
from agno_rt.failures import must_pass, named

__all__ = ["import_from", "load_module", "must_exist"]


def load_module(source: str, folder: Path) -> ModuleType:
    """Load a .py file in the folder, or else a module by its import path.

    Raises `NotFound` for a missing source, `ConfigError` for a source that fails.
    """
    return _load_file(folder / source) if source.endswith(".py") else _import_module(source)


def must_exist(path: Path) -> None:
    """Raise `NotFound` if the file is missing, with the files of the same kind beside it."""
    if not path.is_file():
        raise NotFound("file", str(path), [str(other) for other in path.parent.glob(f"*{path.suffix}")])


def import_from(folder: Path) -> None:
    """Let the files of a folder import each other, as Python does for a script."""
    if (place := str(folder.resolve())) not in sys.path:
        sys.path.insert(0, place)


def _load_file(path: Path) -> ModuleType:
    must_exist(path)
    import_from(path.parent)
    try:
        return import_file(_make_module_name(path), path)
    except UsageError as exc:
        exc.at(_find_line(path, exc))
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        problem = f"{_find_line(path, exc)} fails when it is run: {named(exc)}"
        raise ConfigError(problem, hint=hint_argument(exc)) from exc


def _make_module_name(path: Path) -> str:
    """Return a module name unique for the file, so that two files named `agents.py` do not collide."""
    name, number = f"agno_rt_agents_{path.stem}", 1
    while (file := getattr(sys.modules.get(name), "__file__", None)) and Path(file).resolve() != path.resolve():
        number += 1
        name = f"agno_rt_agents_{path.stem}_{number}"
    return name


def _find_line(path: Path, exc: BaseException) -> str:
    """Return the file with its innermost line in the traceback."""
    frames = traceback.extract_tb(exc.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _import_module(path: str) -> ModuleType:
    import_from(Path())
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{path}.".startswith(f"{exc.name}."):
            raise ConfigError(f"{path} fails when it is imported: {exc}") from exc
        hint = "Name a .py file, an importable module or a .toml file."
        raise NotFound("module", path, (), hint=hint) from exc
    except UsageError as exc:
        exc.at(path)
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise ConfigError(f"{path} fails when it is imported: {named(exc)}", hint=hint_argument(exc)) from exc
