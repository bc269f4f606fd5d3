"""`agno-rt run`: asks an agent once, and streams its answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import attrs
import click

from agno_rt.cli.options import (
    agent_options,
    complete_agent,
    config_option,
    debug_option,
    plain_option,
    reasoning_option,
    session_option,
    user_option,
)
from agno_rt.errors import AgnoError, UsageError

if TYPE_CHECKING:
    from agno_rt.cli.choose_agent import Changes
    from agno_rt.cli.run_agent.conversation import Conversation
    from agno_rt.cli.run_agent.display import Display
    from agno_rt.cli.target import Target
    from agno_rt.library.citations import Citation
    from agno_rt.messages import Part
    from agno_rt.result import RunResult
    from agno_rt.runnable import Runnable

__all__ = ["command"]


@click.command("run")
@click.argument("words", metavar="[AGENT] [INPUT]...", nargs=-1, shell_complete=complete_agent)
@agent_options
@config_option
@session_option
@user_option
@click.option(
    "--attach", metavar="PATH", multiple=True, help="Image, sound, video or other file to ask about, or its URL."
)
@reasoning_option
@plain_option
@click.option("--state", metavar="JSON", help="First state of a workflow with a declared state: some of its fields.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when the run is over.")
@debug_option
def command(
    words: tuple[str, ...], as_json: bool, model: str | None, system: str | None, tools: tuple[str, ...], **options: Any
) -> int:
    """Ask an agent once, and print its answer.

    AGENT is the name of an agent in the project; or the place of an agent: FILE.py, FILE.py:NAME, FILE.toml:NAME,
    package.module:NAME; or a model, as in openai:gpt-5. With --model you may leave it out. `agno-rt agents` and
    `agno-rt models` list what there is.

    INPUT is the question. With -, or with neither INPUT nor --attach, standard input is read.

    Only the answer goes to standard output; tool calls, notices and errors go to standard error. If the run waits for a
    person, you are asked; a script leaves the run paused, with exit code 75.
    """
    from agno_rt.cli.choose_agent import Changes
    from agno_rt.cli.run_agent.outcome import exit_code, result_json

    session = options["session"]
    try:
        result, citations = _ask_agent(
            words, Options(**options, changes=Changes(model, system, tools), answer=not as_json)
        )
    except AgnoError as exc:
        # Scripts get the object of a failed run as well; `main` prints the error.
        if as_json:
            click.echo(result_json(exc.result, session, exc))
        raise
    if as_json:
        click.echo(result_json(result, session, None, citations))
    return exit_code(result)


@attrs.frozen
class Options:
    """Options of the command beside the agent and the input."""

    config: str | None
    session: str | None
    user: str | None
    attach: tuple[str, ...]
    reasoning: bool | None
    plain: bool
    state: str | None
    changes: Changes
    answer: bool


def _ask_agent(words: tuple[str, ...], options: Options) -> tuple[RunResult, list[Citation]]:
    from agno_rt.cli.choose_agent import choose_agent, split_words
    from agno_rt.cli.default_memory import project_for_run
    from agno_rt.cli.report import show_findings
    from agno_rt.cli.run_agent.conversation import open_conversation
    from agno_rt.cli.run_agent.display import Display
    from agno_rt.cli.run_agent.outcome import show_sources

    agent, words = split_words(words, options.config, options.changes)
    target = choose_agent("run", agent, options.config, options.changes)
    project = project_for_run(target, session=options.session)
    asked = _build_input(words, options.attach)
    display = Display(
        provisional=target.provisional, answer=options.answer, reasoning=options.reasoning, plain=options.plain
    )
    with open_conversation(project, target.agent, options.user) as conversation:
        if options.state is not None:
            conversation.deps = _read_state(target.agent, options.state)
        # The run itself fails with the errors.
        show_findings(finding for finding in conversation.findings() if finding.level != "error")
        try:
            result = conversation.ask(asked, options.session, display)
            if result.status == "paused":
                result = _decide_pauses(conversation, result, display, answer=options.answer)
        except AgnoError as exc:
            _say_how_to_go_on(conversation, exc.result, target, options.config)
            raise
        citations = conversation.citations(result)
        if options.answer:
            show_sources(citations)
        _say_how_to_go_on(conversation, result, target, options.config)
    return result, citations


def _read_state(agent: Runnable, text: str) -> Any:
    """Return the first state of the workflow. Raises `UsageError` for other runnables and for an unfit state."""
    from agno_rt.workflows import Workflow

    if not isinstance(agent, Workflow):
        hint = "Leave --state out: agents, teams and workflows in code have no declared state."
        raise UsageError(f"{agent.name or 'the agent'!r} has no state to begin with", hint=hint)
    return agent.read_state(text)


def _decide_pauses(conversation: Conversation, result: RunResult, display: Display, *, answer: bool) -> RunResult:
    """Let the person at the terminal, if any, decide the pauses of the run. Return the last result."""
    from agno_rt.cli.run_agent.decide_approvals import can_ask, settle_run

    return settle_run(conversation, result, display) if can_ask() and answer else result


def _say_how_to_go_on(conversation: Conversation, result: RunResult | None, target: Target, config: str | None) -> None:
    """Print how to go on with a run without an answer: the approvals, or the command for resuming."""
    if result is None or result.status == "completed":
        return
    if result.status == "paused":
        from agno_rt.cli.open_memory import Place
        from agno_rt.cli.run_agent.outcome import show_paused

        show_paused(result, Place.of(target, config).options() + target.typed, lasts=conversation.lasts)
    elif conversation.lasts and conversation.is_stored(result.run_id):
        from agno_rt.cli.open_memory import Place
        from agno_rt.cli.report import notice

        options = Place.of(target, config).options() + target.typed
        notice(f"Its steps are stored: agno-rt runs resume {result.run_id}{options}")


def _build_input(words: tuple[str, ...], attached: tuple[str, ...]) -> str | list[Part]:
    if not attached:
        return _read_text(words)
    from agno_rt.media import attachment

    parts: list[Part] = [_read_text(words)] if words else []
    return [*parts, *map(attachment, attached)]


def _read_text(words: tuple[str, ...]) -> str:
    if words and words != ("-",):
        # Arguments that are not UTF-8 arrive with surrogates, which JSON for a model cannot have.
        return " ".join(words).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if not words and sys.stdin.isatty():
        hint = 'Write it after the agent, as in: agno-rt run assistant "Hello!"; or pipe it in.'
        raise UsageError("there is no input for the agent", hint=hint)
    return sys.stdin.buffer.read().decode("utf-8", "replace")
