"""`agno-rt profile`: runs a command under a profiler and writes the profile to a file."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agno_rt.cli.options import debug_option
from agno_rt.cli.report import clean, notice, show_error
from agno_rt.errors import UsageError

if TYPE_CHECKING:
    from agno_rt_bench.profiling.tools import Cpu, Memory

__all__ = ["command"]

_SETTINGS = {"allow_interspersed_args": False}
_words = click.argument("words", nargs=-1, required=True, metavar="-- COMMAND...", type=click.UNPROCESSED)
_output = click.option("-o", "--output", metavar="FILE", help="File to write. Default: one named for the time, here.")
_seconds = click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), help="Interrupt the command after this time, like Ctrl-C."
)

_ABOUT = {
    "cpu flamegraph": "open it in a browser; the wider a bar, the more time in the function and its callees",
    "cpu speedscope": "a profile for speedscope: over time, by function, and as a flame graph",
    "cpu raw": "each line is a stack, outermost function first, with the number of samples",
    "memory flamegraph": "open it in a browser; the wider a bar, the more memory of the function and its callees",
    "memory table": "open it in a browser; each row is a place in the code, with its memory",
    "memory bin": "`python -m memray` makes reports of the file: tree, stats, summary, table, flamegraph",
}


@click.group("profile")
def command() -> None:
    """Profile a command: its time, or its memory."""


@command.command("cpu", context_settings=_SETTINGS)
@_words
@_output
@_seconds
@click.option(
    "--format",
    "kind",
    type=click.Choice(["flamegraph", "speedscope", "raw"]),
    default="flamegraph",
    show_default=True,
    help="An SVG; JSON for speedscope; or stacks with their counts, as text.",
)
@click.option("--rate", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Samples a second.")
@click.option("--idle", is_flag=True, help="Also count waiting threads.")
@click.option("--lines", is_flag=True, help="Show single lines, not only functions.")
@click.option("--subprocesses", is_flag=True, help="Also profile the processes started by the command.")
@debug_option
def cpu(**options: Any) -> int:
    """Show where a command's time goes, as a flame graph.

    COMMAND is a command of agno-rt (run assistant "Hello!"), a Python file with its arguments, or python with its own.
    Output and exit code are the same as without a profiler. Ctrl-C ends the command, and the file is written.
    """
    _check_system()
    from agno_rt_bench.profiling.tools import Cpu

    return _write_profile(Cpu, options)


@command.command("memory", context_settings=_SETTINGS)
@_words
@_output
@_seconds
@click.option(
    "--format",
    "kind",
    type=click.Choice(["flamegraph", "table", "bin"]),
    default="flamegraph",
    show_default=True,
    help="A page with a flame graph, a page with a table (6 MB each, scripts included), or memray's recording.",
)
@click.option(
    "--objects/--no-objects",
    default=True,
    show_default=True,
    help="Count each object, or only the blocks that Python takes from the system.",
)
@click.option("--leaks", is_flag=True, help="Show the memory at the end, not at the peak.")
@debug_option
def memory(**options: Any) -> int:
    """Show which code holds a command's memory, as a flame graph.

    COMMAND is a command of agno-rt (run assistant "Hello!"), a Python file with its arguments, or python with its own.
    Output and exit code are the same as without a profiler. Ctrl-C ends the command, and the file is written.
    """
    _check_system()
    from agno_rt_bench.profiling.tools import Memory

    return _write_profile(Memory, options)


def _write_profile(kind: type[Cpu | Memory], options: dict[str, Any]) -> int:
    from agno_rt_bench.profiling.program import program_of
    from agno_rt_bench.profiling.tools import Failed, find_tool

    words, output, seconds = options.pop("words"), options.pop("output"), options.pop("seconds")
    profiler = kind(**options)
    find_tool(profiler.tool)
    program = program_of(words, _make_verb_check(click.get_current_context().find_root()))
    suffix = profiler.suffixes[profiler.kind]
    target = _choose_path(profiler.name, suffix) if output is None else Path(output)
    with _make_folder_beside(target) as folder:
        made = folder / f"profile{suffix}"
        try:
            ended = profiler.profile(program, made, seconds)
        except Failed as exc:
            show_error(exc.message, exc.hint)
            return exc.ended.code or 1
        made.replace(target)
    about = _ABOUT[f"{profiler.name} {profiler.kind}"]
    click.echo(clean(f"Wrote {target}: {_format_size(target)}; {about}."), err=True)
    if ended.code is None:
        notice("The command was killed, or ended without an exit code.")
        return 1
    return ended.code


def _check_system() -> None:
    if os.name != "posix":
        raise UsageError("profiles need Linux or macOS", hint="On Windows, use its subsystem for Linux.")


def _make_verb_check(root: click.Context) -> Callable[[str], object]:
    group = root.command
    assert isinstance(group, click.Group)
    return lambda verb: group.resolve_command(root, [verb])


@contextmanager
def _make_folder_beside(target: Path) -> Iterator[Path]:
    """Yield a folder beside the target for the new profile, so that an old file stays until the new file is complete.

    Raises `UsageError` if the target is not writable.
    """
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = tempfile.TemporaryDirectory(prefix=".agno-rt-profile-", dir=target.parent)
    except OSError as exc:
        raise UsageError(f"{target} cannot be written: {exc.strerror or exc}", hint="Name another with -o.") from exc
    with folder as name:
        yield Path(name)


def _format_size(path: Path) -> str:
    count = path.stat().st_size
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _choose_path(name: str, suffix: str) -> Path:
    """Return the path of a new file, named for the time."""
    stem = time.strftime(f"profile-{name}-%Y%m%d-%H%M%S")
    names = (f"{stem}{f'-{number}' if number > 1 else ''}{suffix}" for number in itertools.count(1))
    return next(path for path in map(Path, names) if not path.exists())
