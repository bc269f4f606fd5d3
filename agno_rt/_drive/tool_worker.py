"""Runs a process tool's function in the worker process. Imports little, so that a process starts quickly.

The parent sends the function's name, not the function: under the name the module has the tool, unwrapped here. The
worker returns the result for the model, so neither the function's value nor an exception needs to be pickled.
"""

from __future__ import annotations

import importlib
import importlib.util
import operator
import os
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, TypeAlias

from agno_rt._decide.tool_results import Told, content_of, contents_of, failure
from agno_rt.failures import text_of
from agno_rt.messages import Content
from agno_rt.tools import Tool, ToolArgumentError

__all__ = ["Answer", "Source", "end_with_parent", "find_function", "import_file", "run_call"]

Answer: TypeAlias = tuple[Literal["done"], Content | list[Told]] | tuple[Literal["failed", "refused"], str]


class Source:
    """The module of a tool's function, as sent to the worker: the module's name and file.

    Unpickling a Source imports the module, so arguments unpickled later find their classes.
    """

    __slots__ = ("file", "module", "problem")

    def __init__(self, module: str, file: str | None, problem: str = "") -> None:
        self.module = module
        self.file = file
        self.problem = problem

    def __reduce__(self) -> tuple[Callable[..., Source], tuple[str, str | None]]:
        return _import_source, (self.module, self.file)


def _import_source(module: str, file: str | None) -> Source:
    try:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as exc:
            # The program loaded the file under a name that no import finds, as a project does with its agents.py.
            if file is None or exc.name is None or not f"{module}.".startswith(f"{exc.name}."):
                raise
            import_file(module, file)
    except BaseException as exc:
        return Source(module, file, f"its process cannot import {file or module}: {type(exc).__name__}: {exc}")
    return Source(module, file)


def import_file(name: str, file: str | os.PathLike[str]) -> ModuleType:
    """Run a Python file as the module `name`. Exceptions of the file pass through."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Annotations and pickles look the module up by name, so register the module before running its body.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run_call(source: Source, qualname: str, name: str, arguments: dict[str, Any], count: int | None) -> Answer:
    """Call the function `qualname` of the source; `count` is the number of results a batch must have."""
    try:
        if source.problem:
            return "failed", f"{name} failed: {source.problem}"
        function = find_function(source.module, qualname)
        if function is None:
            return "failed", f"{name} failed: its process does not find the function {source.module}.{qualname}"
        value = function(**arguments)
        return "done", content_of(value) if count is None else contents_of(value, count, name)
    except ToolArgumentError as exc:
        return "refused", text_of(exc)
    except BaseException as exc:
        # SystemExit too: otherwise this worker would end, and the parent would not learn why.
        return "failed", failure(name, exc)


def find_function(module: str, qualname: str) -> Callable[..., Any] | None:
    """Return the module's function `qualname`, unwrapped from a tool; `None` if missing."""
    try:
        found: Any = operator.attrgetter(qualname)(importlib.import_module(module))
    except AttributeError:
        return None
    function = found.function if isinstance(found, Tool) else found
    return function if callable(function) else None


def end_with_parent() -> None:
    """Let this worker process be killed when the parent process ends, even if the parent was killed.

    The parent holds one end of a pipe until its end. PR_SET_PDEATHSIG does not work here: the signal comes when the
    starting thread ends, and trio ends idle threads.
    """
    import multiprocessing  # slow, and users of `import_file` alone need none of these
    import select
    import signal

    parent = multiprocessing.parent_process()
    if parent is None:
        return
    pipe = parent.sentinel
    try:
        import fcntl

        # Linux kills the process by signal, even while code that holds the GIL computes.
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | fcntl.FASYNC)
    except (ImportError, AttributeError, OSError):
        threading.Thread(target=_exit_after, args=(parent,), name="agno_rt parent", daemon=True).start()
        return
    # The parent may have ended before the signal was set up, and then no signal comes.
    if select.select([pipe], [], [], 0)[0]:
        os._exit(1)


def _exit_after(parent: Any) -> None:
    parent.join()
    os._exit(1)
