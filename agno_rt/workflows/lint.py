"""Finds calls in workflows whose results differ from process to process: times, chance, ids, waits, tasks of one's own.

A resumed workflow runs again from its beginning, and takes recorded values only from its flow and its steps. The code
is read and not called: what hides behind other modules or variables is not found.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import textwrap
import types
from collections.abc import Iterator
from typing import Any

import attrs

from agno_rt.workflows.functions import StepFunction, WorkflowFunction, step

__all__ = ["Unrecorded", "find_unrecorded"]

_NOW = "Use `await flow.now()`, or call it in a @step."
_RANDOM = "Use `await flow.random()`, or call it in a @step."
_ID = "Use `await flow.id()`, or call it in a @step."
_SLEEP = "Use `await flow.sleep(seconds)`, which outlives the process."
_GROUP = "Use `async with flow.group() as group:`, whose branches are recorded."
_STEP = "Call it in a @step, so that its result is recorded."

_NAMES = {
    "time.time": _NOW,
    "time.time_ns": _NOW,
    "time.monotonic": _NOW,
    "time.perf_counter": _NOW,
    "time.localtime": _NOW,
    "time.gmtime": _NOW,
    "time.strftime": _NOW,
    "time.sleep": _SLEEP,
    "datetime.datetime.now": _NOW,
    "datetime.datetime.utcnow": _NOW,
    "datetime.datetime.today": _NOW,
    "datetime.date.today": _NOW,
    "uuid.uuid1": _ID,
    "uuid.uuid4": _ID,
    "posix.urandom": _RANDOM,
    "nt.urandom": _RANDOM,
    "trio.sleep": _SLEEP,
    "trio.sleep_until": _SLEEP,
    "trio.current_time": _NOW,
    "trio.open_nursery": _GROUP,
    "trio.lowlevel.spawn_system_task": _GROUP,
    "trio.to_thread.run_sync": _STEP,
    "trio.run_process": _STEP,
    "_io.open": _STEP,
    "io.open": _STEP,
    "subprocess.run": _STEP,
    "subprocess.check_output": _STEP,
    "threading.Thread": _GROUP,
}
_MODULES = {"random": _RANDOM, "secrets": _RANDOM}


@attrs.frozen
class Unrecorded:
    """A call whose result a resumed workflow would not get again: its place, its name, and the remedy."""

    file: str
    line: int
    name: str
    hint: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.name} is not recorded. {self.hint}"


def find_unrecorded(workflow: Any) -> list[Unrecorded]:
    """Return the calls in the function of an `@workflow`, and in the functions of its module that it uses.

    Steps are left out, whose results are recorded. A value without a function, such as a declared workflow, has none.
    """
    found: dict[tuple[str, int, str], Unrecorded] = {}
    function = workflow.function if isinstance(workflow, WorkflowFunction) else workflow
    todo = [function] if isinstance(function, types.FunctionType) else []
    seen: set[types.CodeType] = set()
    for each in todo:
        if each.__code__ not in seen:
            seen.add(each.__code__)
            reader = _Reader(each)
            for call in reader.read():
                found.setdefault((call.file, call.line, call.name), call)
            todo += [other for other in reader.used if other.__module__ == function.__module__]
    return sorted(found.values(), key=lambda call: (call.file, call.line, call.name))


class _Reader:
    """Reads one function: `used` has the functions that it refers to."""

    def __init__(self, function: types.FunctionType) -> None:
        self.used: list[types.FunctionType] = []
        self._function = function
        closed = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        self._names: dict[str, Any] = {**vars(builtins), **function.__globals__}
        for name, cell in closed:
            try:
                self._names[name] = cell.cell_contents
            except ValueError:
                self._names.pop(name, None)  # not assigned yet

    def read(self) -> Iterator[Unrecorded]:
        """Yield the calls; nothing for a function without a source."""
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(self._function)))
        except (OSError, TypeError, SyntaxError):
            return
        code = self._function.__code__
        ast.increment_lineno(tree, code.co_firstlineno - 1)
        definition = next((node for node in ast.walk(tree) if isinstance(node, _DEFINITIONS)), tree)
        self._bind(definition)
        yield from self._visit_all(getattr(definition, "body", definition), code.co_filename)

    def _bind(self, tree: ast.AST) -> None:
        """Take in the modules imported in the function, and forget the assigned names."""
        for node in ast.walk(tree):
            match node:
                case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                    self._names.pop(name, None)
                case ast.Import(names=names):
                    for alias in names:
                        name = alias.name if alias.asname else alias.name.partition(".")[0]
                        self._names[alias.asname or name] = _import(name)
                case ast.ImportFrom(module=str(module), names=names, level=0):
                    for alias in names:
                        self._names[alias.asname or alias.name] = getattr(_import(module), alias.name, None)

    def _visit_all(self, tree: Any, file: str) -> Iterator[Unrecorded]:
        todo = list(tree) if isinstance(tree, list) else [tree]
        for node in todo:
            if isinstance(node, _DEFINITIONS) and any(self._is_step(each) for each in node.decorator_list):
                continue
            if isinstance(node, ast.Name | ast.Attribute):
                value = self._resolve(node)
                if isinstance(value, types.FunctionType):
                    self.used.append(value)
            if isinstance(node, ast.Call):
                value = self._resolve(node.func)
                name = _name_of(value)
                hint = _NAMES.get(name) or _MODULES.get(name.partition(".")[0])
                if hint is not None and not (name == "random.Random" and node.args):  # a seed of its own
                    yield Unrecorded(file, node.lineno, ast.unparse(node.func), hint)
            todo += ast.iter_child_nodes(node)

    def _is_step(self, decorator: ast.expr) -> bool:
        return self._resolve(decorator.func if isinstance(decorator, ast.Call) else decorator) is step

    def _resolve(self, node: ast.expr) -> Any:
        """Return the object that a dotted name stands for; None for anything else, and for steps."""
        if isinstance(node, ast.Name):
            value = self._names.get(node.id)
        elif isinstance(node, ast.Attribute):
            around = self._resolve(node.value)
            # Attributes of other objects may do anything when they are read.
            value = inspect.getattr_static(around, node.attr, None) if isinstance(around, types.ModuleType) else None
            if isinstance(around, type):
                value = getattr(around, node.attr, None)
        else:
            value = None
        return None if isinstance(value, StepFunction | WorkflowFunction) else value


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _import(module: str) -> Any:
    """Return a module that is loaded, or one of those looked for; importing others could do anything."""
    known = {name.partition(".")[0] for name in (*_NAMES, *_MODULES)} | {"os"}
    return importlib.import_module(module) if module.partition(".")[0] in known else None


def _name_of(value: Any) -> str:
    """Return the full name of a function or class, such as `datetime.datetime.now`; empty for other values."""
    if not callable(value):
        return ""
    owner = getattr(value, "__self__", None)
    name = getattr(value, "__qualname__", "")
    module = getattr(value, "__module__", None)
    if isinstance(owner, type):
        return f"{owner.__module__}.{name}"
    if owner is not None and not isinstance(owner, types.ModuleType):
        module = type(owner).__module__
    return f"{module}.{name}"
