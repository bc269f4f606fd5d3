"""A conversation that a person has with an agent: what is asked, what is kept of it, and what is said about it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import click

from agno_rt._decide.input import Input
from agno_rt.agent import Agent
from agno_rt.cli.chat.session_names import latest_session, may_be_of_project, next_name
from agno_rt.cli.default_memory import tilde
from agno_rt.cli.report import notice, remark, show_findings, styled
from agno_rt.cli.run_agent.conversation import Conversation
from agno_rt.cli.run_agent.decide_approvals import can_ask, settle_run
from agno_rt.cli.run_agent.display import Display
from agno_rt.cli.run_agent.outcome import show_paused
from agno_rt.cli.tables import counted, one_line
from agno_rt.cli.target import Target
from agno_rt.cli.terminal import is_interactive
from agno_rt.cli.text.word_wrap import wrap_words
from agno_rt.errors import UsageError
from agno_rt.memory import SessionInfo
from agno_rt.messages import Message, Part
from agno_rt.names import check_name
from agno_rt.runs import RunResult

__all__ = ["Dialogue", "Manner", "model_name"]

_SHOWN = 400
"""Characters of the last question, and of its answer, that are shown when a conversation is gone on with."""


@attrs.frozen
class Manner:
    """How a chat was begun: as what was typed, without the session, and `options` for other commands."""

    typed: str
    options: str = ""
    quiet: bool = False


@attrs.define
class Dialogue:
    """Asks one question after another in a session, and knows what the last one was.

    Attributes:
        stem: what the names of new sessions begin with
        kept_in: the user's file that sessions are in, where the project has no memory that lasts
        unanswered: the last question, where no answer to it was kept
        added: how many messages the last run added to the session; `None` where that is not known
    """

    conversation: Conversation
    display: Display
    target: Target
    manner: Manner
    stem: str
    kept_in: Path | None = None
    session: str = ""
    failed: bool = False
    paused: bool = False
    attached: list[Part] = attrs.Factory(list)
    unanswered: Input | None = None
    added: int | None = None
    changed: dict[str, str] = attrs.Factory(dict)

    def begin(self, session: str | None, *, new: bool) -> None:
        """Choose the session, and say with whom and where the conversation goes on."""
        if session is not None:
            check_name("a session's name", session)
        if session is not None and not new:
            self.session = session
        else:
            sessions, user = self.conversation.sessions(), self.conversation.user
            self.session = next_name(self.stem, sessions) if new else latest_session(self.stem, sessions, user)
        messages = self.conversation.messages(self.session)
        self._say_where(messages)
        kept = f"Kept in {tilde(self.kept_in)}. " if self.kept_in and not messages else ""
        remark(f"{kept}Ctrl-C stops an answer, Ctrl-D leaves, /help lists the commands.")
        if is_interactive():
            self._show_last(messages)

    def ask(self, text: str) -> None:
        """Ask a question, with what was attached for it."""
        parts, self.attached = [text, *self.attached], []
        self.ask_again(parts if len(parts) > 1 else text)

    def ask_again(self, asked: Input) -> None:
        """Ask what was asked before."""
        self.unanswered, self.display.seconds = asked, 0.0
        result = self.conversation.ask(asked, self.session, self.display)
        if result.status == "paused" and can_ask():
            result = settle_run(self.conversation, result, self.display)
        self.paused = result.status == "paused"
        if self.paused:
            show_paused(result, self.manner.options)
        elif result.status == "cancelled":
            self._keep_interrupted(result)
        else:
            self.unanswered, self.added = None, len(result.messages)
            self._say_cost(result)

    def retry(self) -> None:
        """Take the last answer back and ask again; after a failure, ask again."""
        asked = self.unanswered
        if asked is None:
            asked = question_of(self._drop_last())
        self.ask_again(asked)

    def undo(self) -> None:
        """Take the last question and its answer back."""
        if self.unanswered is not None:
            self.unanswered = None
            remark("The last question had no answer, and is forgotten.")
            return
        dropped = self._drop_last()
        notice(f"Taken back: {one_line(_text_of(question_of(dropped)))[:_SHOWN]}")

    def last_question(self) -> str:
        """The text of the last question. Raises `UsageError` where there is none."""
        if self.unanswered is not None:
            return _text_of(self.unanswered)
        messages = self.conversation.messages(self.session)
        asked = next((message.text for message in reversed(messages) if message.role == "user"), "")
        if not asked:
            raise UsageError("nothing was asked yet", hint="Type a question.")
        return asked

    def ask_instead(self, text: str) -> None:
        """Take the last question and its answer back, and ask another."""
        if self.unanswered is None:
            self._drop_last()
        self.ask(text)

    def switch_to(self, session: str) -> None:
        """Go on with another session, or begin it."""
        check_name("a session's name", session)
        messages = self.conversation.messages(session)
        self.session, self.unanswered, self.added = session, None, None
        self._say_where(messages)
        if is_interactive():
            self._show_last(messages)

    def change_agent(self, agent: Agent) -> None:
        """Let another agent answer from now on, or the same with other settings. Raises what would keep it from it."""
        self.conversation.check(agent)
        self.conversation.agent = agent
        self.target = attrs.evolve(self.target, agent=agent)
        show_findings(self.conversation.findings())

    def sessions(self) -> list[SessionInfo]:
        """The user's sessions, as far as they can be of this project, newest first."""
        return [info for info in self.conversation.own_sessions() if may_be_of_project(self.stem, info.id)]

    def return_command(self) -> str:
        """What to type to come back; empty where nothing has been said."""
        if self.conversation.info(self.session) is None:
            return ""
        changed = "".join(f" {option} {shlex.quote(value)}" for option, value in self.changed.items())
        return f"agno-rt chat{self.manner.typed}{changed} --session {shlex.quote(self.session)}"

    def _say_where(self, messages: Sequence[Message]) -> None:
        agent, info = self.conversation.agent, self.conversation.info(self.session)
        said = f"{counted(len(messages), 'message')} so far" if messages else "new"
        title = f' "{one_line(info.title)}"' if info is not None and info.title else ""
        name, model = one_line(agent.name), one_line(model_name(agent))
        on = "" if name == model else f" on {model}"
        line = f"{name}{on}, session {one_line(self.session)}{title} ({said})"
        line = wrap_words(line) if sys.stderr.isatty() else line
        click.echo(styled(name, bold=True) + line.removeprefix(name), err=True)

    def _show_last(self, messages: Sequence[Message]) -> None:
        """Show the last question and its answer, dimly."""
        asked = next((at for at in range(len(messages) - 1, -1, -1) if messages[at].role == "user"), None)
        if asked is None:
            return
        answer = next((each.text for each in reversed(messages[asked:]) if each.role == "assistant"), "")
        for text in (f"> {_shortened(messages[asked].text)}", _shortened(answer)):
            if text:
                self.display.mutter(text)

    def _keep_interrupted(self, result: RunResult) -> None:
        if self.conversation.is_stored(result.run_id):
            notice(f"Stopped. Its steps are stored: agno-rt runs resume {result.run_id}{self.manner.options}")
            return
        kept = self.conversation.keep_interrupted(self.session, result, self.display.partial)
        if kept:
            self.unanswered, self.added = None, kept
            remark("Stopped. The answer is kept as far as it came, marked as interrupted; /retry asks again.")
        else:
            remark("Stopped before there was any answer: nothing is kept; /retry asks again.")

    def _drop_last(self) -> tuple[Message, ...]:
        dropped = self.conversation.drop_last(self.session, self.added)
        self.added = None
        return dropped

    def _say_cost(self, result: RunResult) -> None:
        if self.manner.quiet or not (is_interactive() and sys.stdout.isatty()):
            return
        usage = result.usage
        told = []
        if usage.total_tokens:
            told.append(f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens")
        told.append(f"{self.display.seconds:.1f} s")
        if usage.cost:
            told.append(f"${usage.cost:.4f}" if usage.cost >= 0.0001 else "less than $0.0001")
        remark(", ".join(told))


def question_of(messages: Sequence[Message]) -> list[Message]:
    """The question that an exchange began with: its first messages, as far as they are a user's."""
    end = next((at for at, message in enumerate(messages) if message.role != "user"), len(messages))
    return list(messages[:end])


def model_name(agent: Agent) -> str:
    """What an agent's model is called."""
    return agent.model if isinstance(agent.model, str) else agent.model.name


def _text_of(asked: Input) -> str:
    if isinstance(asked, str):
        return asked
    parts = asked if isinstance(asked, Sequence) else ()
    texts = (part.text if isinstance(part, Message) else part for part in parts)
    return "\n".join(text for text in texts if isinstance(text, str))


def _shortened(text: str) -> str:
    text = text.strip()
    lines = text[:_SHOWN].splitlines()[:6]
    shown = "\n".join(lines)
    return shown if len(shown) == len(text) else f"{shown.rstrip()} …"
