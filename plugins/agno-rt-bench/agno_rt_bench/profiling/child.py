"""Runs a Python program in this process, because py-spy would mix in its own output and lose the exit code.

`python -m agno_rt_bench.profiling.child OUT ERR TELL PROGRAM...`: the first three are numbers of open files. OUT and
ERR become standard output and standard error. The process writes its id to TELL at the start, and its exit code at the
end. Knows no profiler.
"""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import signal
import sys
import types
from collections.abc import Iterator, Sequence

__all__ = ["HELD", "main"]

HELD = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP}) if os.name == "posix" else frozenset()
"""Signals blocked at the start, and inherited by the profiler; the program gets the signals unblocked."""

_INTERRUPTED = 130


def main(words: Sequence[str]) -> None:
    """Run the program, and exit with its exit code."""
    out, err, tell = map(int, words[:3])
    _reopen_stream(1, out)
    _reopen_stream(2, err)
    # A process started by the program must not keep the pipe open.
    os.set_inheritable(tell, False)
    os.write(tell, b"%d\n" % os.getpid())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
    with _report_exit(tell):
        _run_program(list(words[3:]))


def _reopen_stream(number: int, opened: int) -> None:
    """Give a standard stream's number to the open file, and make a new stream: the old one buffers for another file."""
    os.dup2(opened, number)
    os.close(opened)
    name = {1: "stdout", 2: "stderr"}[number]
    old = getattr(sys, name)
    assert isinstance(old, io.TextIOWrapper)
    binary = io.FileIO(number, "wb", closefd=False)
    new = io.TextIOWrapper(
        binary if old.write_through else io.BufferedWriter(binary),
        old.encoding,
        old.errors,
        line_buffering=number == 2 or os.isatty(number),
        write_through=old.write_through,
    )
    setattr(sys, name, new)
    setattr(sys, f"__{name}__", new)


@contextlib.contextmanager
def _report_exit(tell: int) -> Iterator[None]:
    code = 1
    try:
        yield
        code = 0
    except SystemExit as exc:
        code = _code_of_exit(exc)
        raise
    except KeyboardInterrupt:
        code = _INTERRUPTED
        raise
    finally:
        with contextlib.suppress(OSError):  # the parent is gone
            os.write(tell, b"%d\n" % code)


def _code_of_exit(exc: SystemExit) -> int:
    if exc.code is None:
        return 0
    # The system keeps the low byte of a number; a text is printed, and means failure.
    return exc.code & 0xFF if isinstance(exc.code, int) else 1


def _run_program(words: list[str]) -> None:
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), vars(module))
    else:
        sys.argv = words
        # `python FILE` puts the file's folder first on the path; `runpy` leaves the path alone.
        if not sys.flags.safe_path:
            sys.path[0] = os.path.dirname(os.path.realpath(words[0]))
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
