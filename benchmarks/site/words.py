"""Descriptions of benchmarks: the docstrings of files, classes and methods, and the marks of exact counts.

Reads source and imports nothing, so that a page can be made without an environment for the benchmarks.
"""

from __future__ import annotations

import ast
from pathlib import Path

import attrs

__all__ = ["Words", "read_words"]


@attrs.frozen
class Words:
    """The descriptions of a benchmark's file, class and method, and the mark of an exact count."""

    table: str = ""
    group: str = ""
    text: str = ""
    exact: bool = False


def read_words(folder: Path, name: str) -> Words:
    """Return the words of the benchmark `file.Class.method` or `file.function`; missing words are empty."""
    file, *inner = name.split(".")
    path = folder / f"{file}.py"
    if not path.is_file():
        return Words()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    group = ""
    at: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef = tree
    for part in inner:
        found = _find_node(tree, at, part)
        if found is None:
            return Words(_read_summary(tree), group)
        if isinstance(found, ast.ClassDef):
            group = _read_summary(found)
        at = found
    marks = [] if isinstance(at, ast.Module) else at.decorator_list
    exact = any(isinstance(mark, ast.Call) and _read_name(mark.func) == "exact" for mark in marks)
    return Words(_read_summary(tree), group, _read_summary(at) if at is not tree else "", exact)


def _find_node(
    tree: ast.Module, at: ast.AST, part: str
) -> ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the class or function with the name `part` in the node, or in a base class from the same file."""
    for node in getattr(at, "body", ()):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == part:
            return node
    for base in getattr(at, "bases", ()):
        parent = _find_node(tree, tree, _read_name(base))
        found = None if parent is None or parent is at else _find_node(tree, parent, part)
        if found is not None:
            return found
    return None


def _read_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _read_summary(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return the first paragraph of the docstring, on one line."""
    return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
