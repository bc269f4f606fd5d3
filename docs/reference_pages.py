"""A Sphinx extension that writes a page for each public module of agno_rt.

The pages go to `docs/reference/api/`, which git ignores. Each name has a heading on the page of its module; a name from
a private module, on the page of the public module with the export.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from functools import cache
from pathlib import Path
from typing import Any

import attrs
from docutils.nodes import bullet_list
from sphinx.addnodes import toctree
from sphinx.domains.python import PyObject

import agno_rt

FOLDER = Path(__file__).parent / "reference" / "api"
PLUGINS = Path(__file__).parents[1] / "plugins"
# The command line, the fixtures and the template project have written pages.
OMITTED = ("agno_rt.cli", "agno_rt.testing.fixtures", "agno_rt.defaults.project", "agno_rt_template")


@cache
def public_modules() -> list[str]:
    """Return the names of all modules with a page, the package itself first."""
    names = ["agno_rt"]
    for found in pkgutil.walk_packages(agno_rt.__path__, "agno_rt."):
        private = any(part.startswith("_") for part in found.name.split("."))
        if not private and not found.name.startswith(OMITTED):
            names.append(found.name)
    plugins = sorted(path.parent.name for path in PLUGINS.glob("*/agno_rt_*/__init__.py"))
    names += [name for name in plugins if not name.startswith(OMITTED) and _list_exports(name)]
    return [name for name in names if hasattr(importlib.import_module(name), "__all__")]


def _list_exports(name: str) -> list[str]:
    """Return the public names of a module, without a plugin's hooks, which users do not call."""
    exported = importlib.import_module(name).__all__
    return [public for public in exported if name == "agno_rt.hookspecs" or not public.startswith("agno_rt_")]


@cache
def homes() -> dict[str, list[str]]:
    """Return, for each public module, the names documented on its page: each name of any `__all__` exactly once."""
    modules = public_modules()
    pages: dict[str, list[str]] = {name: [] for name in modules}
    seen: set[int] = set()
    # Roots of packages come last, so that a public module has the heading of a name, rather than the package root.
    for name in sorted(
        modules, key=lambda name: (hasattr(importlib.import_module(name), "__path__"), -name.count("."))
    ):
        module = importlib.import_module(name)
        for public in _list_exports(name):
            value = getattr(module, public)
            home = getattr(value, "__module__", name)
            elsewhere = home in pages and home != name and public in importlib.import_module(home).__all__
            if not elsewhere and not _is_reexported(module, public) and id(value) not in seen:
                pages[name].append(public)
                if inspect.isclass(value) or inspect.isroutine(value):
                    seen.add(id(value))
        order = _find_lines(module)
        pages[name].sort(key=lambda public: (_rank_name(module, public), order.get(public, 0)))
    return pages


def _is_reexported(module: Any, public: str) -> bool:
    """Return whether another public module defines the name, a constant or an alias."""
    value = getattr(module, public)
    if inspect.isclass(value) or inspect.isroutine(value) or public in _find_lines(module):
        return False
    others = (importlib.import_module(name) for name in public_modules())
    return any(public in _find_lines(other) and getattr(other, public) is value for other in others)


def _rank_name(module: Any, public: str) -> int:
    """Return the place of a name: exports of the root, classes, functions, exceptions, aliases and constants."""
    value = getattr(module, public)
    if public in agno_rt.__all__:
        return 0
    if inspect.isclass(value):
        return 3 if issubclass(value, BaseException) else 1
    return 2 if inspect.isroutine(value) else 4


@cache
def _parse_module(module: Any) -> ast.Module:
    return ast.parse(inspect.getsource(module))


@cache
def _find_lines(module: Any) -> dict[str, int]:
    """Return the line on which the module defines each name."""
    lines: dict[str, int] = {}
    for node in _parse_module(module).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            lines[node.name] = node.lineno
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines[node.target.id] = node.lineno
        elif isinstance(node, ast.Assign):
            lines |= {target.id: node.lineno for target in node.targets if isinstance(target, ast.Name)}
    return lines


def page(name: str) -> str:
    """Return the text of a module's page."""
    module = importlib.import_module(name)
    parts = [f"# {name}", f"```{{eval-rst}}\n.. automodule:: {name}\n```"]
    for public in homes()[name]:
        value = getattr(module, public)
        kind = "class" if inspect.isclass(value) else "function" if inspect.isroutine(value) else "data"
        kind = "exception" if kind == "class" and issubclass(value, BaseException) else kind
        members = "   :members:\n" if kind in ("class", "exception") else ""
        members += "   :show-inheritance:\n" if members and _list_public_bases(value) else ""
        if kind == "class" and name.startswith("agno_rt.testing"):
            members += "   :inherited-members: Exception\n" if not public.endswith("Contract") else ""
        elif kind == "class" and any(_is_in_private_module(base) for base in value.__bases__):
            members += "   :inherited-members:\n"
        members += "   :no-value:\n" if kind == "data" else ""
        parts.append(f"## {public}\n\n```{{eval-rst}}\n.. auto{kind}:: {name}.{public}\n{members}```")
    return "\n\n".join(parts) + "\n"


def index() -> str:
    """Return the text of the page that lists the modules."""
    rows = []
    for name in public_modules():
        names = ", ".join(f"`{public}`" for public in homes()[name]) or "the names below, from one place"
        rows.append(f"| [{name}]({name}.md) | {names} |")
    root = sorted(agno_rt.__all__, key=str.lower)
    table = "\n".join(["| module | names |", "|---|---|", *rows])
    listed = "\n".join(public_modules())
    return (
        "# Python modules\n\n"
        "What you need most can be imported from `agno_rt` itself: "
        + ", ".join(f"`{name}`" for name in root)
        + f".\n\n{table}\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )


def write_pages(_app: Any = None) -> None:
    """Write pages with a new text, and remove the pages of deleted modules."""
    FOLDER.mkdir(exist_ok=True)
    texts = {f"{name}.md": page(name) for name in public_modules()} | {"index.md": index()}
    for name, text in texts.items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in FOLDER.glob("*.md"):
        if path.name not in texts:
            path.unlink()


QUOTED = re.compile(r"(?<![`:\w])`([^`]+?)`(?![`_\w])")


def _quote_word(match: re.Match[str]) -> str:
    text = " ".join(match[1].split())
    # Only classes become links: other words may not be names of agno_rt.
    return f":py:obj:`.{text}`" if re.fullmatch(r"[A-Z]\w*[a-z]\w*", text) else f"``{text}``"


def quote_code(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Turn words in single backticks into code. reStructuredText would print the words in italics."""
    lines[:] = QUOTED.sub(_quote_word, "\n".join(lines)).split("\n")


def readable_signature(
    _app: Any, what: str, _name: str, obj: Any, _options: Any, *_rest: Any
) -> tuple[str, str] | None:
    """Return the signature of a class as in the source; an empty signature for a protocol."""
    if what not in ("class", "exception"):
        return None
    if getattr(obj, "_is_protocol", False):
        return "", ""
    if attrs.has(obj) and "__init__" not in _list_own_methods(obj):
        return f"({', '.join(_list_fields(obj))})", ""
    return None


def _list_own_methods(cls: type) -> set[str]:
    """Return the methods in the source of the class and of base classes in this package."""
    return {
        node.name
        for base in cls.__mro__
        if (found := _find_class_node(base)) is not None
        for node in found.body
        if isinstance(node, ast.FunctionDef)
    }


@cache
def _find_class_node(cls: type) -> ast.ClassDef | None:
    if not cls.__module__.startswith("agno_rt"):
        return None
    for node in ast.walk(_parse_module(importlib.import_module(cls.__module__))):
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            return node
    return None


def _list_fields(cls: type) -> list[str]:
    """Return the parameters of an attrs class, with the defaults as in the source."""
    written: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found = _find_class_node(base)
        for node in found.body if found else ():
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                annotation = ast.unparse(node.annotation)
                default = _format_default(node.value)
                written[node.target.id] = f": {annotation}{f' = {default}' if default else ''}"
    fields = [field for field in attrs.fields(cls) if field.init]
    texts: list[str] = []
    keywords = False
    for field in sorted(fields, key=lambda field: field.kw_only):
        if field.kw_only and not keywords:
            keywords = True
            texts.append("*")
        texts.append((field.alias or field.name) + written.get(field.name, ""))
    return texts


def _format_default(value: ast.expr | None) -> str:
    """Return the text of a field's default; `...` for a factory."""
    if not isinstance(value, ast.Call):
        return ast.unparse(value) if value is not None else ""
    called = ast.unparse(value.func)
    if called not in ("attrs.field", "field", "attrs.Factory", "Factory"):
        return ast.unparse(value)
    if called.endswith("Factory"):
        return "..."
    given = {keyword.arg: keyword.value for keyword in value.keywords}
    return ast.unparse(given["default"]) if "default" in given else "..." if "factory" in given else ""


def _list_public_bases(cls: type) -> list[Any]:
    """Return the public bases, without `object`, `Protocol` and `Generic`."""
    bases = getattr(cls, "__orig_bases__", cls.__bases__)
    named = [base for base in bases if base.__name__ not in ("object", "Protocol", "Generic")]
    return [base for base in named if base.__name__[:1] != "_" and not _is_in_private_module(base)]


def _is_in_private_module(cls: Any) -> bool:
    """Return whether the class is the kernel's, in a folder whose name begins with an underscore."""
    return "agno_rt._" in cls.__module__


def public_bases(_app: Any, _name: str, obj: Any, _options: Any, bases: list[Any]) -> None:
    """Leave out private bases, `object`, `Protocol` and `Generic`."""
    bases[:] = _list_public_bases(obj)


@cache
def _list_titles(env: Any) -> dict[str, Any]:
    """Return the contents of each page without sections: the title, and the pages below."""
    contents = {page: toc.deepcopy() for page, toc in env.tocs.items()}
    for toc in contents.values():
        for entry in toc.children:
            if len(entry) > 1:
                entry[1:] = [bullet_list("", *below)] if (below := list(entry.findall(toctree))) else []
    return contents


def navigate_by_titles(app: Any, _page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Let the navigation, which has titles alone, copy titles alone: every page has it, and lists all pages.

    Otherwise Sphinx copies the sections and the names of all pages for each, which took most of the build.
    """
    render = context["toctree"]

    def render_titles(**options: Any) -> Any:
        if not options.get("titles_only"):
            return render(**options)
        whole, app.env.tocs = app.env.tocs, _list_titles(app.env)
        try:
            return render(**options)
        finally:
            app.env.tocs = whole

    context["toctree"] = render_titles


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("builder-inited", write_pages)
    # Before napoleon makes sections of the docstring.
    app.connect("autodoc-process-docstring", quote_code, priority=400)
    app.connect("autodoc-process-signature", readable_signature)
    app.connect("autodoc-process-bases", public_bases)
    # Before the theme, which renders the navigation.
    app.connect("html-page-context", navigate_by_titles, priority=400)
    return {"parallel_read_safe": True}
