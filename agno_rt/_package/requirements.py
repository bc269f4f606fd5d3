"""Checks whether a plugin's distribution requires another version of the kernel.

Installers check requirements only when they install, and not when the kernel is upgraded later. The requirement in a
plugin's metadata, such as `agno-rt~=0.1.0`, also states the plugin interface for which the plugin was written.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

__all__ = ["KERNEL", "find_unmet", "kernel_version"]

KERNEL = "agno-rt"
"""The name of the kernel's distribution."""

Release: TypeAlias = tuple[int, ...]

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^]]*\])?\s*\(?([^;@()]*)\)?\s*(?:;.*)?")
_CLAUSE = re.compile(r"\s*(===|~=|==|!=|<=|>=|<|>)\s*(\S+)\s*")
_RELEASE = re.compile(r"v?(?:\d+!)?(\d+(?:\.\d+)*)")


@functools.cache
def kernel_version() -> str:
    """Return the version of the running kernel; empty if the kernel was not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(KERNEL)
    except PackageNotFoundError:
        return ""


def find_unmet(requirements: Iterable[str], version: str) -> str:
    """Return the requirement of the kernel that `version` does not meet, such as `~=0.2.0`; empty if all are met.

    Requirements with a condition (`; extra == "x"`), or in an unknown form, count as met. A pre-release counts as its
    release.
    """
    kernel = _parse_release(version)
    for requirement in requirements:
        found = _REQUIREMENT.fullmatch(requirement)
        if found is None or kernel is None or ";" in requirement or _normalize_name(found[1]) != KERNEL:
            continue
        clauses = found[2].strip()
        if not all(_is_met(clause, kernel) for clause in clauses.split(",") if clause.strip()):
            return clauses
    return ""


def _normalize_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _parse_release(version: str) -> Release | None:
    """Return the numbers of a version: (0, 1, 0) for `0.1.0rc1`."""
    found = _RELEASE.match(version)
    return None if found is None else tuple(map(int, found[1].split(".")))


def _is_met(clause: str, kernel: Release) -> bool:
    found = _CLAUSE.fullmatch(clause)
    wanted = None if found is None else _parse_release(found[2])
    if found is None or wanted is None:
        return True  # unknown forms are left to the installer
    operator, text = found.groups()
    if operator in ("==", "!=") and text.endswith(".*"):
        return (_pad_release(kernel, len(wanted))[: len(wanted)] == wanted) == (operator == "==")
    length = max(len(kernel), len(wanted))
    return _OPERATORS[operator](_pad_release(kernel, length), _pad_release(wanted, length), len(wanted) - 1)


def _pad_release(release: Release, length: int) -> Release:
    return release + (0,) * (length - len(release))


_OPERATORS: dict[str, Callable[[Release, Release, int], bool]] = {
    "===": lambda kernel, wanted, same: kernel == wanted,
    "==": lambda kernel, wanted, same: kernel == wanted,
    "!=": lambda kernel, wanted, same: kernel != wanted,
    "<=": lambda kernel, wanted, same: kernel <= wanted,
    ">=": lambda kernel, wanted, same: kernel >= wanted,
    "<": lambda kernel, wanted, same: kernel < wanted,
    ">": lambda kernel, wanted, same: kernel > wanted,
    # The compatible release of PEP 440: `~=0.1.2` is 0.1.2 or later, within 0.1.
    "~=": lambda kernel, wanted, same: kernel >= wanted and kernel[:same] == wanted[:same],
}
