"""`agno-rt chat`: a conversation with an agent, kept in a session that survives a restart."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import attrs
import click

from agno_rt.cli.options import (
    agent_argument,
    agent_options,
    config_option,
    debug_option,
    plain_option,
    reasoning_option,
    session_option,
    user_option,
)
from agno_rt.cli.report import notice, remark, show_error
from agno_rt.errors import AgnoError

if TYPE_CHECKING:
    from agno_rt.cli.chat.commands import Commands
    from agno_rt.cli.chat.dialogue import Dialogue
    from agno_rt.cli.chat.line_input import Complete, LineInput, Typed

__all__ = ["command"]

# 128 + SIGINT, the exit code that shells give a command after Ctrl-C.
INTERRUPTED = 130


@click.command("chat")
@agent_argument
@agent_options
@config_option
@session_option
@click.option("--new", is_flag=True, help="Start a new conversation.")
@user_option
@reasoning_option
@plain_option
@click.option("-q", "--quiet", is_flag=True, help="Leave out the line of tokens and time below each answer.")
@click.option(
    "--no-history",
    is_flag=True,
    envvar="AGNO_RT_NO_HISTORY",
    help="Do not store your inputs for the arrow keys (as AGNO_RT_NO_HISTORY=1 does).",
)
@debug_option
def command(
    agent: str | None,
    config: str | None,
    session: str | None,
    new: bool,
    user: str | None,
    **how: Any,
) -> int:
    """Talk with an agent, and go on with the last conversation.

    AGENT is as in `agno-rt run`; with --model you may leave it out. Ctrl-C stops an answer, Ctrl-D leaves, /help lists
    the commands. Conversations are kept in the memory of the project, or in a file in your data folder if that memory
    does not last.
    """
    from agno_rt.cli.chat.commands import Commands, complete
    from agno_rt.cli.chat.dialogue import Dialogue, Manner
    from agno_rt.cli.chat.session_names import session_stem
    from agno_rt.cli.choose_agent import Changes, choose_agent
    from agno_rt.cli.default_memory import lasting_project
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.report import show_findings
    from agno_rt.cli.run_agent.conversation import open_conversation
    from agno_rt.cli.run_agent.display import Display
    from agno_rt.cli.terminal import keep_enter

    target = choose_agent("chat", agent, config, Changes(how["model"], how["system"], how["tools"]))
    project, file = lasting_project(target.project)
    stem = session or session_stem(target, shared=file is not None)
    typed = _render_options(agent, config, user) + target.typed
    with ExitStack() as stack:
        stack.enter_context(keep_enter())
        conversation = stack.enter_context(open_conversation(project, target.agent, user))
        conversation.check()
        display = Display(provisional=target.provisional, reasoning=how["reasoning"], plain=how["plain"])
        manner = Manner(typed, Place.of(target, config).options() + target.typed, how["quiet"])
        dialogue = Dialogue(conversation, display, target, manner, stem, file)
        dialogue.begin(session, new=new)
        show_findings(conversation.findings())
        lines = stack.enter_context(_open_line_input(lambda line: complete(dialogue, line), kept=not how["no_history"]))
        return Chat(dialogue, lines, Commands(dialogue, lines)).talk()


def _render_options(agent: str | None, config: str | None, user: str | None) -> str:
    """Render the agent and the options of the chat for a shell."""
    named = "" if agent is None else f" {shlex.quote(agent)}"
    options = (("-c", config), ("--user", user))
    return named + "".join(f" {name} {shlex.quote(value)}" for name, value in options if value)


def _open_line_input(complete: Complete, *, kept: bool) -> LineInput:
    from agno_rt.cli.chat.input_history import History
    from agno_rt.cli.chat.line_input import LineInput
    from agno_rt.cli.default_memory import history_file

    return LineInput(complete, History(history_file()) if kept else None)


@attrs.frozen
class Chat:
    """A loop over inputs: questions are answered, commands carried out."""

    dialogue: Dialogue
    lines: LineInput
    commands: Commands

    def talk(self) -> int:
        """Read and answer inputs until the end, and return the exit code."""
        from agno_rt.cli.run_agent.outcome import PAUSED
        from agno_rt.cli.terminal import is_interactive

        interrupted = False
        while True:
            try:
                typed = self.lines.read()
            except KeyboardInterrupt:
                click.echo(err=True)
                if interrupted or not is_interactive():
                    return self._leave(INTERRUPTED)
                interrupted = True
                remark("Ctrl-D or /quit leaves, and so does another Ctrl-C.")
                continue
            interrupted = False
            if typed is None or not self._handle(typed):
                return self._leave(0 if is_interactive() else int(self.dialogue.failed))
            if self.dialogue.paused and not is_interactive():
                # The next line of a script expects an answer, and a paused run has none.
                return PAUSED

    def _handle(self, typed: Typed) -> bool:
        """Answer a question or carry out a command. Return whether the chat goes on."""
        from agno_rt.cli.chat.commands import is_command

        # A terminal's bytes that are not UTF-8 arrive as surrogates, which JSON for a model cannot have.
        text = typed.text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip()
        try:
            if not typed.quoted and is_command(text):
                self.commands.carry_out(text)
            elif text:
                self.dialogue.ask(text)
        except EOFError:
            return False
        except AgnoError as exc:
            self.dialogue.failed = True
            show_error(exc.message, exc.hint)
        return True

    def _leave(self, code: int) -> int:
        from agno_rt.cli.terminal import is_interactive

        if is_interactive() and (command := self.dialogue.return_command()):
            notice(f"To come back: {command}")
        return code
