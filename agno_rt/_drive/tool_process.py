"""Runs a tool's function in a worker process that can be killed, by way of the package trio-parallel.

At most as many are under way at once as there are processors. One that is done is kept for the next call, until its
runtime is closed; one that is killed is gone when its call returns.
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
from agno_rt._drive.tool_worker import Source, end_with_parent, find, work
from agno_rt.errors import UsageError
from agno_rt.failures import text_of
from agno_rt.tools import Tool, ToolArgumentError

__all__ = ["Failed", "Processes", "check_process", "run_in_process"]


class Failed(Exception):
    """A tool that failed; the text is all of what the model is told."""


def check_process(tool: Tool) -> None:
    """Raise `UsageError` for a process tool that cannot run: trio-parallel is missing, or the function is not found."""
    import multiprocessing

    _trio_parallel(tool)
    module, qualname = tool.function.__module__, tool.function.__qualname__
    what = f"the process of the tool {tool.name!r}"
    if find(module, qualname) is not tool.function:
        problem = f"{what} cannot find its function: {module}.{qualname} is something else"
        raise UsageError(problem, hint="Keep it, or the tool that was made of it, under its own name in its module.")
    if _typed_in(module):
        problem = f"{what} cannot find its function: it was typed in, not read from a file"
        raise UsageError(problem, hint="Put it into a module, and import it from there.")
    if not _can_be_read(module):
        problem = f"{what} cannot find its function: the module {module} was made by the program, not read from a file"
        raise UsageError(problem, hint="Put it into a module, and import it from there; or leave out process.")
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # The process reads the program's main module first, to find in it what it is asked to call.
        problem = f"{what} has begun to run the program itself, where it was to find the function alone"
        raise UsageError(problem, hint="Let the program begin with: if __name__ == '__main__':")


class Processes:
    """The worker processes of one runtime: none until one is needed. Close it when no call is under way any more."""

    name = "the worker processes"

    def __init__(self) -> None:
        self._opened: Any = None
        self._context: Any = None

    async def run_sync(self, function: Callable[[], Any], **how: Any) -> Any:
        """As `trio_parallel.run_sync`, in one of these processes."""
        if self._context is None:
            # This does not wait, so that no other call can come in between.
            self._opened = importlib.import_module("trio_parallel").open_worker_context(init=end_with_parent)
            self._context = await self._opened.__aenter__()
        return await self._context.run_sync(function, **how)

    async def aclose(self) -> None:
        """End the processes that wait for a call."""
        opened, self._opened, self._context = self._opened, None, None
        if opened is None:
            return
        try:
            await opened.__aexit__(None, None, None)
        except importlib.import_module("trio_parallel").BrokenWorkerError:
            # One had died while it waited, or had to be killed now: it is gone, as it was to be.
            return


async def run_in_process(
    tool: Tool, arguments: dict[str, Any], seconds: float | None, count: int | None, processes: Processes | None = None
) -> Any:
    """Call the tool's function in a process, which is killed when this is cancelled or has taken so many seconds.

    `count` is how many results a batch must have. Without `processes` it is one of trio-parallel's own, which end with
    the program. Returns what the model is told: content, or that of each call. Raises `Failed`, `ToolArgumentError`,
    or `DeadlineExceeded` for these seconds.
    """
    parallel = _trio_parallel(tool)
    module = tool.function.__module__
    # The source comes first, since arguments may be of classes that only its module has.
    source = Source(module, None if module == "__main__" else _file_of(module))
    call = functools.partial(work, source, tool.function.__qualname__, tool.name, arguments, count)
    run_sync = parallel.run_sync if processes is None else processes.run_sync
    # The wait for a processor comes first: it is not the tool that takes that time.
    async with parallel.current_default_worker_limiter():
        with nullcontext() if seconds is None else deadline(seconds, "tool_timeout", f"the tool {tool.name}"):
            try:
                kind, told = await run_sync(call, kill_on_cancel=True, limiter=_Unlimited())
            except parallel.BrokenWorkerError as exc:
                raise Failed(f"{tool.name} failed: its process died{_exit_code(exc)}") from exc
            except Exception as exc:
                # The function's own come as an answer, so that this is one of pickle's.
                raise Failed(
                    f"{tool.name} failed: its arguments cannot be sent to its process: {text_of(exc)}"
                ) from exc
    if kind == "refused":
        raise ToolArgumentError(told)
    if kind == "failed":
        raise Failed(told)
    return told


def _typed_in(module: str) -> bool:
    """Whether the process would look for the function in a file that is not there."""
    main = sys.modules["__main__"]
    if main.__spec__ is not None:
        return False
    file = getattr(main, "__file__", None)
    # A program that comes from the standard input has a file all the same, which the process reads first of all.
    return module == "__main__" if file is None else not Path(file).exists()


def _file_of(module: str) -> str | None:
    """The file that the module was read from, if it is there."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return file if file is not None and os.path.isfile(file) else None


def _can_be_read(module: str) -> bool:
    """Whether another process can have the module: from its file, or by an import."""
    if module == "__main__" or _file_of(module) is not None:
        return True
    around = module.rpartition(".")[0]
    path = getattr(sys.modules.get(around), "__path__", None) if around else None
    return any(finder.find_spec(module, path) is not None for finder in sys.meta_path)


def _trio_parallel(tool: Tool) -> ModuleType:
    try:
        # Imported where it is used: not everybody has it, and it takes its time.
        return importlib.import_module("trio_parallel")
    except ImportError as exc:
        raise UsageError(
            f"the tool {tool.name!r} runs in a process, for which trio-parallel is missing: {exc}",
            hint="Install it: pip install 'agno-rt[process]'. Or leave process=True out, and it runs in a thread.",
        ) from exc


def _exit_code(exc: BaseException) -> str:
    code = getattr(exc.args[-1], "exitcode", None) if exc.args else None
    return "" if code is None else f" (exit code {code})"


class _Unlimited:
    """No limiter: the place has been taken already."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...
