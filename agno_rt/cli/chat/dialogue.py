"""The dialogue of a person and an agent: asks questions, stores or removes exchanges, and reports about both."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import click

from agno_rt._decide.input import Input
from agno_rt.cli.chat.session_names import latest_session, may_be_of_project, next_name
from agno_rt.cli.default_memory import tilde
from agno_rt.cli.list_agents import name_model
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
from agno_rt.result import RunResult
from agno_rt.runnable import Runnable

__all__ = ["Dialogue", "Manner"]

_SHOWN = 400
"""The most characters of the last question, and of its answer, to show when a session is continued."""


@attrs.frozen
class Manner:
    """The command line of the chat: `typed` without the session, and the `options` to repeat for other commands."""

    typed: str
    options: str = ""
    quiet: bool = False


@attrs.define
class Dialogue:
    """Asks one question after another in a session, and keeps the last question.

    Attributes:
        stem: the beginning of the names of new sessions
        kept_in: the user's file with the sessions, if the project has no lasting memory
        unanswered: the last question, if no answer was stored
        added: the number of messages added to the session by the last run; `None` if unknown
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
        """Choose the session, and print its agent, model, name and last exchange."""
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
        """Ask a question, with the attached files."""
        # Attached files go with this question only; if it fails, `unanswered` keeps them for /retry.
        parts, self.attached = [text, *self.attached], []
        self.ask_again(parts if len(parts) > 1 else text)

    def ask_again(self, asked: Input) -> None:
        """Ask with the given input, and show and store the outcome."""
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
        """Remove the last answer, if stored, and ask its question again."""
        asked = self.unanswered
        if asked is None:
            asked = question_of(self._drop_last())
        self.ask_again(asked)

    def undo(self) -> None:
        """Remove the last question and its answer."""
        if self.unanswered is not None:
            self.unanswered = None
            remark("The last question had no answer, and is forgotten.")
            return
        dropped = self._drop_last()
        notice(f"Taken back: {one_line(_input_text(question_of(dropped)))[:_SHOWN]}")

    def last_question(self) -> str:
        """Return the text of the last question. Raises `UsageError` for none."""
        if self.unanswered is not None:
            return _input_text(self.unanswered)
        messages = self.conversation.messages(self.session)
        asked = next((message.text for message in reversed(messages) if message.role == "user"), "")
        if not asked:
            raise UsageError("nothing was asked yet", hint="Type a question.")
        return asked

    def ask_instead(self, text: str) -> None:
        """Replace the last question and its answer: remove both, and ask the text."""
        if self.unanswered is None:
            self._drop_last()
        self.ask(text)

    def switch_to(self, session: str) -> None:
        """Continue another session, or begin a new session."""
        check_name("a session's name", session)
        messages = self.conversation.messages(session)
        self.session, self.unanswered, self.added = session, None, None
        self._say_where(messages)
        if is_interactive():
            self._show_last(messages)

    def change_agent(self, agent: Runnable) -> None:
        """Let this agent answer from now on. Raises the errors of an agent that cannot run."""
        self.conversation.check(agent)
        self.conversation.agent = agent
        self.target = attrs.evolve(self.target, agent=agent)
        show_findings(self.conversation.findings())

    def sessions(self) -> list[SessionInfo]:
        """Return the user's sessions without those of other projects, newest first."""
        return [info for info in self.conversation.own_sessions() if may_be_of_project(self.stem, info.id)]

    def return_command(self) -> str:
        """Return the command to continue the session; empty for a session without messages."""
        if self.conversation.info(self.session) is None:
            return ""
        changed = "".join(f" {option} {shlex.quote(value)}" for option, value in self.changed.items())
        return f"agno-rt chat{self.manner.typed}{changed} --session {shlex.quote(self.session)}"

    def _say_where(self, messages: Sequence[Message]) -> None:
        agent, info = self.conversation.agent, self.conversation.info(self.session)
        said = f"{counted(len(messages), 'message')} so far" if messages else "new"
        title = f' "{one_line(info.title)}"' if info is not None and info.title else ""
        name, model = one_line(agent.name), one_line(name_model(agent))
        on = "" if name == model else f" on {model}"
        line = f"{name}{on}, session {one_line(self.session)}{title} ({said})"
        line = wrap_words(line) if sys.stderr.isatty() else line
        click.echo(styled(name, bold=True) + line.removeprefix(name), err=True)

    def _show_last(self, messages: Sequence[Message]) -> None:
        """Print the last question and its answer, dimly."""
        asked = next((at for at in range(len(messages) - 1, -1, -1) if messages[at].role == "user"), None)
        if asked is None:
            return
        answer = next((each.text for each in reversed(messages[asked:]) if each.role == "assistant"), "")
        for text in (f"> {_shorten_text(messages[asked].text)}", _shorten_text(answer)):
            if text:
                self.display.mutter(text)

    def _keep_interrupted(self, result: RunResult) -> None:
        # A stored run can be resumed. Storing its messages here as well would double them.
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
        # The size of the exchange before is unknown: the next removal begins at the last question.
        self.added = None
        return dropped

    def _say_cost(self, result: RunResult) -> None:
        # A pipe gets the answers only.
        if self.manner.quiet or not (is_interactive() and sys.stdout.isatty()):
            return
        usage = result.usage
        parts = []
        if usage.total_tokens:
            parts.append(f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens")
        parts.append(f"{self.display.seconds:.1f} s")
        if usage.cost:
            parts.append(f"${usage.cost:.4f}" if usage.cost >= 0.0001 else "less than $0.0001")
        remark(", ".join(parts))


def question_of(messages: Sequence[Message]) -> list[Message]:
    """Return the question of an exchange: the user's messages at its beginning."""
    end = next((at for at, message in enumerate(messages) if message.role != "user"), len(messages))
    return list(messages[:end])


def _input_text(asked: Input) -> str:
    if isinstance(asked, str):
        return asked
    parts = asked if isinstance(asked, Sequence) else ()
    texts = (part.text if isinstance(part, Message) else part for part in parts)
    return "\n".join(text for text in texts if isinstance(text, str))


def _shorten_text(text: str) -> str:
    text = text.strip()
    lines = text[:_SHOWN].splitlines()[:6]
    shown = "\n".join(lines)
    return shown if len(shown) == len(text) else f"{shown.rstrip()} …"
