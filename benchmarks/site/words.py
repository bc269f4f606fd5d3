"""What the benchmarks say of themselves: the docstrings of their files, classes and methods, and which are exact.

Reads source and imports nothing, so that a page can be made where the benchmarks themselves do not run.
"""

from __future__ import annotations

import ast
from pathlib import Path

import attrs

__all__ = ["Words", "read_words"]


@attrs.frozen
class Words:
    """Of one benchmark: what its table is about, what its class measures, what it measures itself, whether exactly."""

    table: str = ""
    group: str = ""
    text: str = ""
    exact: bool = False


def read_words(folder: Path, name: str) -> Words:
    """The words of the benchmark `file.Class.method` or `file.function`; empty ones where nothing is said."""
    file, *inner = name.split(".")
    path = folder / f"{file}.py"
    if not path.is_file():
        return Words()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    group = ""
    at: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef = tree
    for part in inner:
        found = _within(tree, at, part)
        if found is None:
            return Words(_said(tree), group)
        if isinstance(found, ast.ClassDef):
            group = _said(found)
        at = found
    marks = [] if isinstance(at, ast.Module) else at.decorator_list
    exact = any(isinstance(mark, ast.Call) and _named(mark.func) == "exact" for mark in marks)
    return Words(_said(tree), group, _said(at) if at is not tree else "", exact)


def _within(tree: ast.Module, at: ast.AST, part: str) -> ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The class or function of that name within, or within a class of the file that it is made from."""
    for node in getattr(at, "body", ()):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == part:
            return node
    for base in getattr(at, "bases", ()):
        parent = _within(tree, tree, _named(base))
        found = None if parent is None or parent is at else _within(tree, parent, part)
        if found is not None:
            return found
    return None


def _named(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _said(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The first paragraph of the docstring, on one line."""
    return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
