"""What the worker process of a process tool does. It imports as little as can be: a process should start quickly.

What is sent is the function's name, not the function: under it the module has the tool, which is unwrapped here. What
goes back is what the model is to be told, so that a result need not be pickled, and no exception either.
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

__all__ = ["Answer", "Source", "end_with_parent", "find", "import_file", "work"]

Answer: TypeAlias = tuple[Literal["done"], Content | list[Told]] | tuple[Literal["failed", "refused"], str]


class Source:
    """The module of a tool's function, as it is sent: its name, and the file that it was read from.

    Being unpickled, it imports the module, so that arguments which are sent after it find their classes there.
    """

    __slots__ = ("file", "module", "problem")

    def __init__(self, module: str, file: str | None, problem: str = "") -> None:
        self.module = module
        self.file = file
        self.problem = problem

    def __reduce__(self) -> tuple[Callable[..., Source], tuple[str, str | None]]:
        return _imported, (self.module, self.file)


def _imported(module: str, file: str | None) -> Source:
    try:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as exc:
            # The program read the file under a name that no import finds, as a project does with its agents.py.
            if file is None or exc.name is None or not f"{module}.".startswith(f"{exc.name}."):
                raise
            import_file(module, file)
    except BaseException as exc:
        return Source(module, file, f"its process cannot import {file or module}: {type(exc).__name__}: {exc}")
    return Source(module, file)


def import_file(name: str, file: str | os.PathLike[str]) -> ModuleType:
    """Run a Python file as the module of that name. Raises what the file raises."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Annotations and pickles look their module up by name, so it has to be there before its body runs.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def work(source: Source, qualname: str, name: str, arguments: dict[str, Any], count: int | None) -> Answer:
    """Call the function that goes by that name; `count` is how many results a batch must have."""
    try:
        if source.problem:
            return "failed", f"{name} failed: {source.problem}"
        function = find(source.module, qualname)
        if function is None:
            return "failed", f"{name} failed: its process finds no function {source.module}.{qualname}"
        value = function(**arguments)
        return "done", content_of(value) if count is None else contents_of(value, count, name)
    except ToolArgumentError as exc:
        return "refused", text_of(exc)
    except BaseException as exc:
        # An exit too: it is this process that would end, and not the one that hears of it.
        return "failed", failure(name, exc)


def find(module: str, qualname: str) -> Callable[..., Any] | None:
    """The function that goes by the name in the module, unwrapped if it is a tool."""
    try:
        found: Any = operator.attrgetter(qualname)(importlib.import_module(module))
    except AttributeError:
        return None
    function = found.function if isinstance(found, Tool) else found
    return function if callable(function) else None


def end_with_parent() -> None:
    """Let this worker process be killed when its parent has ended, even where that was killed and could not tell it.

    The parent holds one end of a pipe as long as it lives. PR_SET_PDEATHSIG would not do: it kills the worker when the
    thread ends that started it, and that is one of trio's, which end when they are idle.
    """
    import multiprocessing  # takes time, and who imports the module for `import_file` has no use for them
    import select
    import signal

    parent = multiprocessing.parent_process()
    if parent is None:
        return
    pipe = parent.sentinel
    try:
        import fcntl

        # Linux kills the process itself, also while code that holds the GIL computes.
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | fcntl.FASYNC)
    except (ImportError, AttributeError, OSError):
        threading.Thread(target=_wait_for_end, args=(parent,), name="agno_rt parent", daemon=True).start()
        return
    # The parent may have ended before this was set up, of which no signal tells.
    if select.select([pipe], [], [], 0)[0]:
        os._exit(1)


def _wait_for_end(parent: Any) -> None:
    parent.join()
    os._exit(1)
