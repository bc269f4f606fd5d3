"""`agno-rt run`: asks an agent once, and streams its answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import attrs
import click

from agno_rt.cli.options import config_option, debug_option, reasoning_option, session_option, user_option
from agno_rt.errors import AgnoError, UsageError

if TYPE_CHECKING:
    from agno_rt.messages import Part
    from agno_rt.runs import RunResult

__all__ = ["command"]


@click.command("run")
@click.argument("agent")
@click.argument("input", nargs=-1)
@config_option
@session_option
@user_option
@click.option(
    "--attach", metavar="PATH", multiple=True, help="Image, sound, video or other file to ask about, or its URL."
)
@reasoning_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when the run is over.")
@debug_option
def command(agent: str, input: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Ask AGENT once, and print its answer.

    AGENT is the name of an agent in the project, or where to find one: FILE.py, FILE.py:NAME, FILE.toml:NAME,
    package.module:NAME. INPUT is what to ask; with -, or without it and without --attach, standard input is read.

    The answer alone goes to standard output; tool calls, notices and errors go to standard error.
    """
    session = options["session"]
    try:
        result = _ask(agent, input, Options(**options, answer=not as_json))
    except AgnoError as exc:
        if as_json:
            click.echo(_json(exc.result, session, exc))
        raise
    if as_json:
        click.echo(_json(result, session, None))
    return 130 if result.status == "cancelled" else 0


@attrs.frozen
class Options:
    """What was said beside the agent and the input."""

    config: str | None
    session: str | None
    user: str | None
    attach: tuple[str, ...]
    reasoning: bool | None
    answer: bool


def _ask(agent: str, words: tuple[str, ...], options: Options) -> RunResult:
    from agno_rt.cli.conversation import open_conversation
    from agno_rt.cli.display import Display
    from agno_rt.cli.sessions import lasting
    from agno_rt.cli.target import find_agent

    target = find_agent(agent, options.config)
    # A session that is named is meant to be gone on with, which takes a memory that outlives this process.
    project = target.project if options.session is None else lasting(target.project)[0]
    asked = _input(words, options.attach)
    display = Display(provisional=target.provisional, answer=options.answer, reasoning=options.reasoning)
    with open_conversation(project, target.agent, options.user) as conversation:
        return conversation.ask(asked, options.session, display)


def _input(words: tuple[str, ...], attached: tuple[str, ...]) -> str | list[Part]:
    if not attached:
        return _text(words)
    from agno_rt.media import attachment

    parts: list[Part] = [_text(words)] if words else []
    return [*parts, *map(attachment, attached)]


def _text(words: tuple[str, ...]) -> str:
    if words and words != ("-",):
        return " ".join(words).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if not words and sys.stdin.isatty():
        hint = 'Write it after the agent, as in: agno-rt run assistant "Hello!"; or pipe it in.'
        raise UsageError("there is no input for the agent", hint=hint)
    return sys.stdin.buffer.read().decode("utf-8", "replace")


def _json(result: RunResult | None, session: str | None, error: AgnoError | None) -> bytes:
    """The run as the server gives it; without a result where it never began."""
    import msgspec

    body = {
        "run_id": result and result.run_id,
        "status": result.status if result else "failed",
        "content": result.content if result else "",
        "reasoning": result.reasoning if result else "",
        "output": result and result.output,
        "session": session,
        "usage": result and result.usage,
        "error": error and {"code": error.code, "message": error.message, "hint": error.hint},
    }
    return msgspec.json.encode(body)
