"""The verbs `export` and `import`, alike for each kind of stored things."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import IO, Any, Protocol, TypeVar

import attrs
import click

from agno_rt.cli.options import config_option, debug_option, memory_option, owner_option
from agno_rt.cli.report import notice, show_error, show_warning

__all__ = ["Opening", "add_transfer_verbs", "memory_options"]

F = TypeVar("F", bound=Callable[..., Any])


class Opening(Protocol):
    """A function that opens the store of the options, and returns the result of `act`."""

    def __call__(self, act: Callable[[Any], Awaitable[Any]], /, **place: Any) -> Any:
        """Open the store, and close it in the end."""
        ...


def memory_options(function: F) -> F:
    """Add `--config`, `--memory` and `--debug`."""
    return config_option(memory_option(debug_option(function)))


@attrs.define
class _Report:
    """What an import has done with each line."""

    name: str
    stored: int = 0
    same: int = 0
    left: int = 0
    faulty: int = 0

    def tell_fault(self, number: int, problem: str, hint: str) -> None:
        """Show why a line cannot be read."""
        self.faulty += 1
        show_error(f"{self.name}:{number}: {problem}", hint)

    def tell_skipped(self, number: int, problem: str, hint: str) -> None:
        """Show why a line is not stored."""
        self.left += 1
        show_warning(f"{self.name}:{number}: skipped: {problem}", hint)

    def summarize(self, kind: str, done: str = "Stored") -> str:
        """Return a sentence for each outcome."""
        from agno_rt.cli.tables import counted

        parts = [f"{done} {counted(self.stored, kind)}."]
        if self.same:
            parts.append(f"{counted(self.same, kind)} {'was' if self.same == 1 else 'were'} there already.")
        if self.left:
            parts.append(f"{counted(self.left, kind)} {'was' if self.left == 1 else 'were'} skipped.")
        if self.faulty:
            parts.append(f"{counted(self.faulty, 'line')} cannot be read.")
        return " ".join(parts)


@attrs.frozen
class _Verbs:
    """The two verbs of a kind. `load_transfer` imports the module that moves things of the kind."""

    load_transfer: Callable[[], Any]
    open: Opening

    def export(self, ids: Sequence[str], user: str | None, output: str | None, **place: Any) -> int:
        """Write things as JSON lines."""
        from agno_rt.cli.damage import collect_damage
        from agno_rt.cli.tables import counted
        from agno_rt.cli.transfer.base import Skipped
        from agno_rt.cli.transfer.lines import open_output
        from agno_rt.errors import BackendError

        transfer = self.load_transfer()

        async def write(store: Any) -> tuple[int, int]:
            # Find all before writing the first, so that an unknown id leaves no file.
            keys = await transfer.find(store, ids, user)
            written, failed = 0, 0
            with open_output(output) as file:
                for key in keys:
                    try:
                        written += await transfer.export(store, key, file.write)
                    except Skipped as exc:
                        failed += 1
                        show_warning(f"not exported: {exc.message}", exc.hint)
                    except BackendError as exc:
                        # If nothing can be read, the store is broken rather than the things in it.
                        failed += 1
                        if ids or failed == len(keys):
                            raise
                        show_warning(f"not exported: {exc.message}", exc.hint)
            return written, failed

        async def copy(store: Any) -> tuple[int, int]:
            with collect_damage() as damaged:
                written, failed = await write(store)
            return written, failed + len(damaged)

        count, failed = self.open(copy, **place)
        if output not in (None, "-"):
            notice(f"Wrote {counted(count, transfer.kind)} to {output}.")
        return 1 if failed else 0

    def read(self, file: IO[bytes], user: str | None, *, dry_run: bool, **place: Any) -> int:
        """Read things from JSON lines, and store each that is not there."""
        from agno_rt.cli.transfer.base import Skipped
        from agno_rt.cli.transfer.lines import Fault, LineReader

        transfer = self.load_transfer()
        report = _Report(getattr(file, "name", "-"))
        lines = LineReader(transfer.kind, transfer.line).read(file)

        async def copy(store: Any) -> None:
            for number, line in lines:
                if isinstance(line, Fault):
                    report.tell_fault(number, line.problem, line.hint)
                    continue
                if dry_run:
                    report.stored += 1
                    continue
                try:
                    outcome = await transfer.load(store, line, user)
                except Skipped as exc:
                    report.tell_skipped(number, exc.message, exc.hint)
                else:
                    report.stored += outcome == "stored"
                    report.same += outcome == "same"

        self.open(copy, **place)
        notice(report.summarize(transfer.kind, "Read" if dry_run else "Stored"))
        return 1 if report.left or report.faulty else 0


def add_transfer_verbs(
    group: click.Group,
    load_transfer: Callable[[], Any],
    opening: Opening,
    *,
    export_help: str,
    import_help: str,
    place_options: Callable[[Any], Any] = memory_options,
) -> None:
    """Add `export` and `import` to the group of a kind. The texts say what a line is, and what stays."""
    verbs = _Verbs(load_transfer, opening)

    def export(ids: tuple[str, ...], user: str | None, output: str | None, **place: Any) -> int:
        return verbs.export(ids, user, output, **place)

    def read(file: IO[bytes], user: str | None, dry_run: bool, **place: Any) -> int:
        return verbs.read(file, user, dry_run=dry_run, **place)

    export.__doc__ = (
        f"Write JSON lines to standard output or to a file.\n\nWithout ID, everything is exported. {export_help}"
        " What is damaged is reported and left out, and the exit code is 1."
    )
    read.__doc__ = (
        "Read JSON lines from FILE, or from standard input for -.\n\nFILE comes from `export`. What is there already"
        f" stays, so that you can import a file twice. {import_help} A line that cannot be read or stored is named by"
        " its number with the reason, the other lines are stored, and the exit code is 1."
    )
    output = click.option("-o", "--output", metavar="FILE", help="Write to FILE instead of standard output.")
    ids = click.argument("ids", nargs=-1, metavar="[ID]...")
    group.command("export")(ids(owner_option(output(place_options(export)))))
    owner = "Owner for what has none. What belongs to other users is refused."
    user = click.option("--user", metavar="NAME", help=owner)
    dry = click.option("--dry-run", is_flag=True, help="Check the lines, and store none.")
    file = click.argument("file", type=click.File("rb"))
    group.command("import")(file(user(dry(place_options(read)))))
