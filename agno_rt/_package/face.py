"""Offers the public names of a package from its stub, and imports each at first use.

Type checkers read the same stub, so a public name is written once.
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

    The names come from the imports of `__init__.pyi` beside the file. Modules of the package are found by name, too.
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
        if name.startswith("__"):  # inspection asks for many of these, and must not import modules
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = find_homes().get(name)
        value: object = (
            _find_module(package, name) if module is None else getattr(importlib.import_module(module), name)
        )
        # Later uses find the name in the module itself, and do not come here.
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
        if exc.name != module:  # the module exists, but an import within it fails
            raise
    raise AttributeError(f"module {package!r} has no attribute {name!r}")
