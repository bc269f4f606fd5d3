"""`agno-rt chat`: a conversation with an agent, kept in a session that survives a restart."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from agno_rt.cli.options import (
    agent_argument,
    agent_options,
    config_option,
    debug_option,
    reasoning_option,
    session_option,
    user_option,
)
from agno_rt.cli.report import clean, notice, show_error, styled
from agno_rt.errors import AgnoError, UsageError, suggest

if TYPE_CHECKING:
    from agno_rt.cli.conversation import Conversation
    from agno_rt.cli.display import Display
    from agno_rt.messages import Message, Part

__all__ = ["command"]

INTERRUPTED = 130


@click.command("chat")
@agent_argument
@agent_options
@config_option
@session_option
@click.option("--new", is_flag=True, help="Begin a new conversation.")
@user_option
@reasoning_option
@debug_option
def command(
    agent: str | None,
    config: str | None,
    session: str | None,
    new: bool,
    user: str | None,
    reasoning: bool | None,
    **changes: Any,
) -> int:
    """Talk with an agent, and go on with the last conversation.

    AGENT is what `agno-rt run` takes; with --model it may be left out. Ctrl-C stops an answer, Ctrl-D leaves, /help
    lists the commands. Conversations are kept in the project's memory, or, where it has none that lasts, in a file of
    yours.
    """
    from agno_rt.cli.choose_agent import Changes, choose_agent
    from agno_rt.cli.conversation import open_conversation
    from agno_rt.cli.display import Display
    from agno_rt.cli.keeping import data_folder, lasting, session_stem
    from agno_rt.cli.report import show_findings
    from agno_rt.cli.stored import Place
    from agno_rt.cli.terminal import is_interactive, line_history

    target = choose_agent("chat", agent, config, Changes(**changes))
    project, file = lasting(target.project)
    stem = session or session_stem(target, shared=file is not None)
    with ExitStack() as stack:
        if is_interactive():
            stack.enter_context(line_history(data_folder() / "history"))
        conversation = stack.enter_context(open_conversation(project, target.agent, user))
        conversation.check()
        display = Display(provisional=target.provisional, reasoning=reasoning)
        options = Place.of(target, config).options() + target.typed
        chat = Chat(conversation, display, stem, kept_in=file, options=options)
        chat.begin(session, new=new)
        show_findings(conversation.findings())
        return chat.talk()


@attrs.define
class Chat:
    """A conversation as it is typed: lines that begin with `/` are commands, all others are for the agent."""

    conversation: Conversation
    display: Display
    stem: str
    kept_in: Path | None
    options: str = ""
    session: str = ""
    failed: bool = False
    paused: bool = False
    attached: list[Part] = attrs.Factory(list)

    def begin(self, session: str | None, *, new: bool) -> None:
        """Choose the session, and say with whom and where the conversation goes on."""
        from agno_rt.cli.keeping import latest, next_name, tilde
        from agno_rt.cli.tables import one_line

        if session and not new:
            self.session = session
        else:
            sessions, user = self.conversation.sessions(), self.conversation.user
            self.session = next_name(self.stem, sessions) if new else latest(self.stem, sessions, user)
        agent = self.conversation.agent
        model = agent.model if isinstance(agent.model, str) else agent.model.name
        before = len(self.conversation.messages(self.session))
        so_far = f"{before} messages so far" if before else "new"
        click.echo(f"{styled(agent.name, bold=True)} on {model}", err=True)
        kept = f", kept in {tilde(self.kept_in)}" if self.kept_in else ""
        notice(f"Session {one_line(self.session)} ({so_far}){kept}.")
        notice("Ctrl-C stops an answer, Ctrl-D leaves, /help lists the commands.")

    def talk(self) -> int:
        """Read lines and answer them until the end; the exit code."""
        from agno_rt.cli.outcome import PAUSED
        from agno_rt.cli.terminal import is_interactive, read_line

        interrupted = False
        while True:
            try:
                line = read_line()
            except KeyboardInterrupt:
                click.echo(err=True)
                if interrupted or not is_interactive():
                    return INTERRUPTED
                interrupted = True
                notice("Ctrl-D or /quit leaves, and so does another Ctrl-C.")
                continue
            interrupted = False
            if line is None or line.strip() == "/quit":
                return self._leave(is_interactive())
            self._take(line)
            if self.paused and not is_interactive():
                # What comes next was written for an answer that is not there.
                return PAUSED

    def _leave(self, interactive: bool) -> int:
        if interactive:
            click.echo(err=True)
            return 0
        return int(self.failed)

    def _take(self, line: str) -> None:
        text = line.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip()
        if not text:
            return
        try:
            if text.startswith("/"):
                self._command(text)
            else:
                self._ask(text)
        except AgnoError as exc:
            self.failed = True
            show_error(exc.message, exc.hint)

    def _ask(self, text: str) -> None:
        from agno_rt.cli.deciding import can_ask, settled
        from agno_rt.cli.outcome import show_paused

        parts, self.attached = [text, *self.attached], []
        result = self.conversation.ask(parts if len(parts) > 1 else text, self.session, self.display)
        if result.status == "paused" and can_ask():
            result = settled(self.conversation, result, self.display)
        self.paused = result.status == "paused"
        if self.paused:
            show_paused(result, self.options)
        elif result.status == "cancelled" and self.conversation.is_stored(result.run_id):
            notice(f"Stopped. Its steps are stored: agno-rt runs resume {result.run_id}{self.options}")
        elif result.status == "cancelled":
            notice("Stopped. This question and its answer are not kept.")

    def _command(self, text: str) -> None:
        name, _, rest = text.partition(" ")
        commands: dict[str, Callable[[], None]] = {"/help": _help, "/new": self._new, "/history": self._history}
        if name == "/attach":
            self._attach(rest.strip())
        elif text in commands:
            commands[text]()
        else:
            self.failed = True
            show_error(f"unknown command {text!r}", suggest("command", text, [*commands, "/attach", "/quit"]))

    def _attach(self, source: str) -> None:
        from agno_rt.media import attachment, described

        if not source:
            raise UsageError("there is nothing to attach", hint="Name a file or a URL: /attach cat.png")
        attached = attachment(source)
        self.attached.append(attached)
        notice(f"{described(attached)} goes with the next question.")

    def _new(self) -> None:
        from agno_rt.cli.keeping import next_name

        before, self.session = self.session, next_name(self.stem, self.conversation.sessions())
        notice(f"A new conversation: session {self.session}. The last one was {before}.")

    def _history(self) -> None:
        messages = self.conversation.messages(self.session)
        if not messages:
            notice("Nothing was said yet.")
        for message in messages:
            _show(message)


def _help() -> None:
    rows = {
        "/attach": "PATH or URL: ask the next question about that file",
        "/new": "begin a new conversation",
        "/history": "show what was said so far",
        "/quit": "leave; Ctrl-D does the same",
        "Ctrl-C": "stop the answer that is under way",
    }
    for key, text in rows.items():
        click.echo(f"  {key:<10}{text}", err=True)


def _show(message: Message) -> None:
    from agno_rt.cli.display import call_line, result_line
    from agno_rt.media import described

    content = (message.content,) if isinstance(message.content, str) else message.content
    text = "\n".join(part if isinstance(part, str) else described(part) for part in content)
    text = clean(text) if sys.stdout.isatty() else text
    match message.role:
        case "user":
            click.echo(styled(f"> {text}", bold=True))
        case "tool":
            notice(result_line(message.name or "tool", text))
        case _:
            if text:
                click.echo(text)
            for call in message.tool_calls:
                notice(call_line(call))
