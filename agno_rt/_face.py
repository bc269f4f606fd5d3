"""Offers the public names of a package, each imported when it is first asked for, as the package's stub lists them.

Type checkers read the same stub, so that a public name is written once.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["lazy_names"]

_LINE = re.compile(r"^from (\S+) import (\w+) as \2$", re.MULTILINE)


def lazy_names(package: str, file: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package whose `__init__.py` is `file`.

    The names are those that `__init__.pyi` beside the file imports; modules of the package can be asked for, too.
    """
    homes: dict[str, str] = {}

    def find_homes() -> dict[str, str]:
        if not homes:
            stub = Path(file).with_suffix(".pyi").read_text(encoding="utf-8")
            homes.update((name, module) for module, name in _LINE.findall(stub))
        return homes

    def get_name(name: str) -> object:
        if name == "__all__":
            return sorted(find_homes())
        if name.startswith("__"):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = find_homes().get(name)
        value: object = (
            _find_module(package, name) if module is None else getattr(importlib.import_module(module), name)
        )
        setattr(sys.modules[package], name, value)
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *find_homes()})

    return get_name, list_names


def _find_module(package: str, name: str) -> object:
    module = f"{package}.{name}"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name != module:
            raise
    raise AttributeError(f"module {package!r} has no attribute {name!r}")
