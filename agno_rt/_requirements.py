"""Tells whether a plugin's distribution was made for another kernel than this one, by its own requirement.

Installers hold requirements when they install; when the kernel is upgraded later, nobody does. What a plugin's metadata
says, as in `agno-rt~=0.1.0`, is therefore its plugin interface's version too: its author need not write another.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

__all__ = ["KERNEL", "find_unmet", "kernel_version"]

KERNEL = "agno-rt"
"""The kernel's distribution."""

Release: TypeAlias = tuple[int, ...]

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^]]*\])?\s*\(?([^;@()]*)\)?\s*(?:;.*)?")
_CLAUSE = re.compile(r"\s*(===|~=|==|!=|<=|>=|<|>)\s*(\S+)\s*")
_RELEASE = re.compile(r"v?(?:\d+!)?(\d+(?:\.\d+)*)")


@functools.cache
def kernel_version() -> str:
    """Return the version of the kernel that runs; empty where it was not installed, so that nobody can say."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(KERNEL)
    except PackageNotFoundError:
        return ""


def find_unmet(requirements: Iterable[str], version: str) -> str:
    """Return what a distribution requires of the kernel and this version is not, as in `~=0.2.0`; empty if it fits.

    A requirement with a condition (`; extra == "x"`) is not looked at, nor one in a form that is not known here. A
    pre-release counts as the release that it comes before.
    """
    kernel = _release(version)
    for requirement in requirements:
        found = _REQUIREMENT.fullmatch(requirement)
        if found is None or kernel is None or ";" in requirement or _plain(found[1]) != KERNEL:
            continue
        clauses = found[2].strip()
        if not all(_holds(clause, kernel) for clause in clauses.split(",") if clause.strip()):
            return clauses
    return ""


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _release(version: str) -> Release | None:
    """Return the numbers of a version: (0, 1, 0) for `0.1.0rc1`."""
    found = _RELEASE.match(version)
    return None if found is None else tuple(map(int, found[1].split(".")))


def _holds(clause: str, kernel: Release) -> bool:
    found = _CLAUSE.fullmatch(clause)
    wanted = None if found is None else _release(found[2])
    if found is None or wanted is None:
        return True
    operator, text = found.groups()
    if operator in ("==", "!=") and text.endswith(".*"):
        return (_padded(kernel, len(wanted))[: len(wanted)] == wanted) == (operator == "==")
    length = max(len(kernel), len(wanted))
    return _COMPARED[operator](_padded(kernel, length), _padded(wanted, length), len(wanted) - 1)


def _padded(release: Release, length: int) -> Release:
    return release + (0,) * (length - len(release))


_COMPARED: dict[str, Callable[[Release, Release, int], bool]] = {
    "===": lambda kernel, wanted, same: kernel == wanted,
    "==": lambda kernel, wanted, same: kernel == wanted,
    "!=": lambda kernel, wanted, same: kernel != wanted,
    "<=": lambda kernel, wanted, same: kernel <= wanted,
    ">=": lambda kernel, wanted, same: kernel >= wanted,
    "<": lambda kernel, wanted, same: kernel < wanted,
    ">": lambda kernel, wanted, same: kernel > wanted,
    # A compatible release: `~=0.1.2` is 0.1.2 or later of 0.1.
    "~=": lambda kernel, wanted, same: kernel >= wanted and kernel[:same] == wanted[:same],
}
