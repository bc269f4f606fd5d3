"""Runs a tool's function in a worker process that can be killed, with the package trio-parallel.

At most one process a processor works at once. A process that is done is kept for the next call, until its runtime is
closed; a killed process is gone when its call returns.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from agno_rt._drive.scopes import deadline
from agno_rt._drive.tool_worker import Source, end_with_parent, find_function, run_call
from agno_rt.errors import UsageError
from agno_rt.failures import text_of
from agno_rt.tools import Tool, ToolArgumentError

__all__ = ["Failed", "Processes", "check_process", "run_in_process"]


class Failed(Exception):
    """Raised for a tool that failed; the text is the result for the model."""


def check_process(tool: Tool) -> None:
    """Raise `UsageError` for a process tool that cannot run: without trio-parallel, or with a function not found."""
    import multiprocessing

    _import_trio_parallel(tool)
    module, qualname = tool.function.__module__, tool.function.__qualname__
    what = f"the process of the tool {tool.name!r}"
    if find_function(module, qualname) is not tool.function:
        problem = f"{what} cannot find its function: {module}.{qualname} is something else"
        raise UsageError(problem, hint="Keep the function, or the tool made of it, under its own name in its module.")
    if _is_typed_in(module):
        problem = f"{what} cannot find its function: the function was typed in, not read from a file"
        raise UsageError(problem, hint="Put the function into a module, and import it from there.")
    if not _can_load(module):
        problem = f"{what} cannot find its function: the module {module} was made by the program, not read from a file"
        raise UsageError(problem, hint="Put the function into a module and import it from there, or leave out process.")
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # The worker imports the program's main module to find the function there, and so runs an unguarded program.
        problem = f"{what} runs the whole program instead of only finding the function"
        raise UsageError(problem, hint="Start the program under: if __name__ == '__main__':")


class Processes:
    """The worker processes of one runtime, started when first needed. Close it when no call is under way any more."""

    name = "the worker processes"

    def __init__(self) -> None:
        self._opened: Any = None
        self._context: Any = None

    async def run_sync(self, function: Callable[[], Any], **how: Any) -> Any:
        """Run the function like `trio_parallel.run_sync`, in a process of this runtime."""
        if self._context is None:
            # Opening does not yield to other tasks, so no second call can open another context in between.
            self._opened = importlib.import_module("trio_parallel").open_worker_context(init=end_with_parent)
            self._context = await self._opened.__aenter__()
        return await self._context.run_sync(function, **how)

    async def aclose(self) -> None:
        """End the idle processes."""
        opened, self._opened, self._context = self._opened, None, None
        if opened is None:
            return
        try:
            await opened.__aexit__(None, None, None)
        except importlib.import_module("trio_parallel").BrokenWorkerError:
            # A process had died while idle, or had to be killed now. Either way the process has ended.
            return


async def run_in_process(
    tool: Tool, arguments: dict[str, Any], seconds: float | None, count: int | None, processes: Processes | None = None
) -> Any:
    """Call the tool's function in a process, which is killed on cancellation or after `seconds`.

    `count` is the number of results a batch must have. Without `processes`, trio-parallel's own are used, which end
    with the program. Returns the content for the model, or the results of a batch. Raises `Failed`,
    `ToolArgumentError`, or `DeadlineExceeded` after `seconds`.
    """
    parallel = _import_trio_parallel(tool)
    module = tool.function.__module__
    # The source is unpickled first and imports the module, since arguments may be of classes defined there.
    source = Source(module, None if module == "__main__" else _find_module_file(module))
    call = functools.partial(run_call, source, tool.function.__qualname__, tool.name, arguments, count)
    run_sync = parallel.run_sync if processes is None else processes.run_sync
    # The wait for a processor comes before the deadline, since the tool does not spend that time.
    async with parallel.current_default_worker_limiter():
        with nullcontext() if seconds is None else deadline(seconds, "tool_timeout", f"the tool {tool.name}"):
            try:
                kind, told = await run_sync(call, kill_on_cancel=True, limiter=_Unlimited())
            except parallel.BrokenWorkerError as exc:
                raise Failed(f"{tool.name} failed: its process died{_describe_exit(exc)}") from exc
            except Exception as exc:
                # The function's own exceptions arrive as an answer, so this is an exception of pickle.
                raise Failed(
                    f"{tool.name} failed: its arguments cannot be sent to its process: {text_of(exc)}"
                ) from exc
    if kind == "refused":
        raise ToolArgumentError(told)
    if kind == "failed":
        raise Failed(told)
    return told


def _is_typed_in(module: str) -> bool:
    """Return whether the process would look for the function in a missing file."""
    main = sys.modules["__main__"]
    if main.__spec__ is not None:
        return False
    file = getattr(main, "__file__", None)
    # A program from standard input has a `__file__` too, "<stdin>", which the process would try to read.
    return module == "__main__" if file is None else not Path(file).exists()


def _find_module_file(module: str) -> str | None:
    """Return the module's file, if it exists."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return file if file is not None and os.path.isfile(file) else None


def _can_load(module: str) -> bool:
    """Return whether another process can load the module from its file or by an import."""
    if module == "__main__" or _find_module_file(module) is not None:
        return True
    around = module.rpartition(".")[0]
    path = getattr(sys.modules.get(around), "__path__", None) if around else None
    return any(finder.find_spec(module, path) is not None for finder in sys.meta_path)


def _import_trio_parallel(tool: Tool) -> ModuleType:
    try:
        # Imported here, because the package is optional and slow to import.
        return importlib.import_module("trio_parallel")
    except ImportError as exc:
        raise UsageError(
            f"the tool {tool.name!r} runs in a process, but trio-parallel is not installed: {exc}",
            hint="Install it with pip install 'agno-rt[process]', or leave out process=True to use a thread.",
        ) from exc


def _describe_exit(exc: BaseException) -> str:
    code = getattr(exc.args[-1], "exitcode", None) if exc.args else None
    return "" if code is None else f" (exit code {code})"


class _Unlimited:
    """Stands for trio-parallel's limiter, whose place is already taken."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...
