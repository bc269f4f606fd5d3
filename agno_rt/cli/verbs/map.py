"""`agno-rt map`: asks an agent each input of a file, and stores each result when its run ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
import click

from agno_rt.cli.options import agent_options, complete_agent, config_option, debug_option
from agno_rt.errors import UsageError

if TYPE_CHECKING:
    from agno_rt.cli.map_files import Inputs, Results
    from agno_rt.cli.target import Target
    from agno_rt.result import RunResult

__all__ = ["command"]

AT_ONCE = 8
"""Number of runs at once unless the command line says another."""


@click.command("map")
@click.argument("words", metavar="[AGENT] INPUTS", nargs=-1, shell_complete=complete_agent)
@click.option("-o", "--output", metavar="FILE", help="File for the results; - is standard output.")
@click.option(
    "-n", "--concurrency", metavar="N", type=click.IntRange(1), default=AT_ONCE, show_default=True, help="Runs at once."
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first input that fails.")
@agent_options
@config_option
@debug_option
def command(
    words: tuple[str, ...], output: str | None, concurrency: int, fail_fast: bool, config: str | None, **changes: Any
) -> int:
    """Ask an agent each input of a file, several at once.

    AGENT is as in `agno-rt run`; with --model you may leave it out. INPUTS has one input a line: a JSON string, or an
    object whose "input" is asked and whose other fields are yours; in a .txt file each line is an input. - is standard
    input. Each result is a line of JSON, with the line number of its input and the content of that line.

    Run the same command again to go on: inputs that are completed in FILE are skipped, failed inputs are asked again.
    The exit code is 1 if an input failed, and 75 if a run waits for a person.
    """
    from agno_rt.cli.choose_agent import Changes, choose_agent
    from agno_rt.cli.map_files import open_inputs, open_results

    given_changes = Changes(**changes)
    agent, inputs = _split_words(words, needed=given_changes.model is None)
    target = choose_agent("map", agent, config, given_changes)
    if output is None:
        raise UsageError(
            "no file for the results is given", hint="Name a file: -o results.jsonl; - is standard output."
        )
    with open_inputs(inputs) as given, open_results(output, given) as results:
        return _Map(target, given, results, concurrency, fail_fast=fail_fast).run()


def _split_words(words: tuple[str, ...], *, needed: bool) -> tuple[str | None, str]:
    """Return the agent and the file of inputs. The agent is None if left out, which is allowed unless `needed`."""
    if not words and needed:
        return None, ""
    if len(words) == 2:
        return words[0], words[1]
    if len(words) == 1 and not needed:
        return None, words[0]
    problem = "no file of inputs is given" if len(words) < 2 else f"there are {len(words) - 2} words too many"
    raise UsageError(problem, hint="Name one agent and one file: agno-rt map AGENT inputs.jsonl -o results.jsonl")


@attrs.define
class _Map:
    """A call of the command, with counts of the results so far."""

    target: Target
    inputs: Inputs
    results: Results
    concurrency: int
    fail_fast: bool
    counts: dict[str, int] = attrs.Factory(dict)
    first_failure: str = ""

    def run(self) -> int:
        """Ask the inputs that are not completed yet, and return the exit code."""
        import trio

        known = sum(self.results.has(number, given) for number, given in self.inputs)
        with _show_progress(self.inputs.total, known) as advance:
            cancelled = trio.run(self._ask_all, advance)
        self._print_summary(known)
        # 130 is 128 + SIGINT, as after Ctrl-C in a shell; 75 means that a person must decide.
        if cancelled:
            return 130
        return 1 if self.counts.get("failed") else 75 if self.counts.get("paused") else 0

    async def _ask_all(self, advance: Callable[[], None]) -> bool:
        """Ask each input that is not completed. Return whether Ctrl-C stopped the runs."""
        import trio

        from agno_rt.cli.run_agent.interrupts import on_interrupt

        # From the position of an input in the call of `runtime.map` to its line in the file.
        numbers: dict[int, tuple[int, Any]] = {}
        scope, token = trio.CancelScope(), trio.lowlevel.current_trio_token()
        agent = self.target.agent

        def keep(at: int, result: RunResult) -> None:
            self._store_result(*numbers.pop(at), result)
            advance()

        # A signal handler runs between any two bytecodes: only `run_sync_soon` is safe to call there.
        with on_interrupt(lambda: token.run_sync_soon(scope.cancel)), scope:
            async with self.target.project.runtime() as runtime:
                await runtime.map(
                    agent,
                    self._yield_remaining(numbers),
                    concurrency=self.concurrency,
                    on_error="raise" if self.fail_fast else "keep",
                    on_result=keep,
                )
        return scope.cancelled_caught

    def _yield_remaining(self, numbers: dict[int, tuple[int, Any]]) -> Iterator[str]:
        from agno_rt.cli.map_files import input_of

        places = ((number, given) for number, given in self.inputs if not self.results.has(number, given))
        for at, (number, given) in enumerate(places):
            numbers[at] = number, given
            yield input_of(given)

    def _store_result(self, number: int, given: Any, result: RunResult) -> None:
        from agno_rt.cli.run_agent.outcome import result_fields
        from agno_rt.errors import AgnoError

        error = result.error if isinstance(result.error, AgnoError) else None
        self.results.write(number, given, result_fields(result, None, error))
        status = result.status if result.status in ("completed", "paused") else "failed"
        self.counts[status] = self.counts.get(status, 0) + 1
        if error is not None and not self.first_failure:
            self.first_failure = f"line {number}: {error.message}"

    def _print_summary(self, known: int) -> None:
        from agno_rt.cli.report import notice, show_error

        total, completed, failed = self.inputs.total, self.counts.get("completed", 0), self.counts.get("failed", 0)
        before = f", {known} of them before" if known else ""
        paused = f", {self.counts['paused']} wait for a person" if "paused" in self.counts else ""
        notice(f"{completed + known} of {total} completed{before}{paused}.")
        if failed:
            again = "Run the same command again to retry the failed inputs."
            show_error(f"{failed} failed; {self.first_failure}", again)
        elif completed + known < total and not paused:
            notice("Run the same command again to go on with the rest.")


@contextmanager
def _show_progress(total: int, known: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar in a terminal, and yield a function that advances the bar. Elsewhere show nothing."""
    import sys

    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, completed=known)
        yield lambda: bar.advance(task)
