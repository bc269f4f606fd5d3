"""Shows a run as it happens: the answer on stdout, all else on stderr. Knows events, and neither runs nor agents."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from agno_rt.cli.report import clean, notice, remark
from agno_rt.cli.run_agent.status_line import StatusLine, can_show_status
from agno_rt.cli.text.pages import PlainPage, markdown_page, wrapped_page
from agno_rt.events import (
    ApprovalAsked,
    ApprovalReviewed,
    Event,
    GuardTripped,
    ModelStarted,
    ReasoningDelta,
    RunEnded,
    TextDelta,
    ToolEnded,
    ToolProgress,
    ToolStarted,
    TurnRestarted,
)
from agno_rt.messages import Message, ToolCall
from agno_rt.run_store import ApprovalKind

__all__ = ["Display", "call_line", "content_text", "message_text", "progress_line", "result_line", "waiting_line"]

_LINE = 160
"""The most characters of a tool call or a result to show."""

_WAITS: dict[ApprovalKind, str] = {"approval": "an approval", "input": "an input", "external": "its result"}


class Display:
    """Shows the events of runs, one run after another. Use a `with` block for each run.

    A terminal shows text as it arrives, with rendered Markdown. A script reads only the answer: elsewhere than in a
    terminal, `provisional` text is held back until the end of the run.

    Args:
        provisional: true if text of the model may turn out not to be the answer
        answer: write the answer on stdout; if false, the caller writes on stdout
        reasoning: show the model's reasoning; `None` for only in a terminal
        plain: write answers without Markdown and wrapping

    Attributes:
        partial: the model's text in the present turn
        seconds: the duration of the runs since the caller last set it to 0
        is_in_process: tells whether a model, by its name, is loaded into this process at its first call; set by the
            conversation
    """

    def __init__(
        self, *, provisional: bool, answer: bool = True, reasoning: bool | None = None, plain: bool = False
    ) -> None:
        self.partial = ""
        self.seconds = 0.0
        self.is_in_process: Callable[[str], bool] = lambda model: False
        self._answer = answer
        self._terminal = answer and sys.stdout.isatty()
        self._hold = provisional and not self._terminal
        self._shows_reasoning = self._terminal if reasoning is None else reasoning
        # Both pages share the terminal's lines, so each ends its line before the other writes.
        self._page = markdown_page(sys.stdout) if self._terminal and not plain else PlainPage(sys.stdout)
        self._thoughts = wrapped_page(sys.stderr) if self._terminal else PlainPage(sys.stderr)
        self._status = StatusLine() if self._terminal and can_show_status() else None
        self._turn: list[str] = []
        self._calls: dict[str, str] = {}
        self._model = ""
        self._asked: set[str] = set()
        self._began = 0.0

    def __enter__(self) -> Self:
        self.partial, self._turn, self._calls = "", [], {}
        self._began = time.monotonic()
        self._show_status("starting")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.seconds += time.monotonic() - self._began
        if self._status is not None:
            self._status.close()
        # The next output, an error for instance, begins on a new line.
        self._end_line()

    def show(self, event: Event) -> None:
        """Show the event."""
        match event:
            case TextDelta():
                self._show_text(event.text)
            case ReasoningDelta():
                self._show_reasoning(event.text)
            case ModelStarted():
                self._begin_turn(event.model)
            case ToolStarted() | ToolProgress() | ToolEnded() | ApprovalAsked():
                self._show_call(event)
            case TurnRestarted():
                self._restart_turn(event.reason)
            case GuardTripped() if event.action == "changed":
                # A guardrail that blocks ends the run, and the error has the same text.
                self._print_aside(f"The guardrail {event.guard} changed the {event.where}: {event.reason}")
            case ApprovalReviewed():
                done = "approved" if event.approved else "left to you"
                why = f": {event.reason}" if event.reason else ""
                by = "a standing approval" if event.grant else event.by
                self._print_aside(f"{event.call.name} was {done} by {by}{why}")
            case RunEnded() if event.status == "completed":
                self._finish_answer(event.content)
            case _:
                pass

    def show_within(self, path: str, event: Event) -> None:
        """Show the event of a run within, such as a team member's, on the status line; its text is not the answer."""
        speaker = clean(path.rpartition("/")[2].partition("#")[0])
        match event:
            case ModelStarted() if event.model:
                self._show_status(f"{speaker} is asking {clean(event.model)}")
            case ToolStarted():
                self._show_status(f"{speaker}: {clean(event.call.name)}(…)")
            case _:
                pass

    def render(self, text: str) -> None:
        """Write a text on stdout in the form of an answer."""
        self._page.write(text)
        self._page.end()

    def mutter(self, text: str) -> None:
        """Write a text of earlier times on stderr, dimly."""
        self._thoughts.write(text)
        self._thoughts.end()

    def _show_call(self, event: ToolStarted | ToolProgress | ToolEnded | ApprovalAsked) -> None:
        line = ""
        match event:
            case ToolStarted():
                line = call_line(event.call)
                self._calls[event.call.id] = f"{event.call.name}(…)"
            case ToolProgress():
                line = progress_line(event.call, event.data)
            case ApprovalAsked():
                line = waiting_line(event.call, event.kind)
            case _:
                self._calls.pop(event.call.id, None)
                if event.status != "cancelled":
                    line = result_line(event.call.name, event.content, failed=event.status == "failed")
        if line:
            self._set_aside_text()
            self._print_aside(line)
            self._show_status(", ".join(self._calls.values()) or f"asking {self._model}")

    def _show_text(self, text: str) -> None:
        self.partial += text
        self._turn.append(text)
        self._asked.add(self._model)
        if not self._hold:
            self._write(text)

    def _show_reasoning(self, text: str) -> None:
        self._asked.add(self._model)
        if not self._shows_reasoning:
            self._show_status(f"{self._model} is thinking")
            return
        self._hide_status()
        self._page.end()
        self._thoughts.write(text)

    def _begin_turn(self, model: str) -> None:
        self.partial, self._model = "", clean(model)
        self._set_aside_text()
        self._end_line()
        if not model:  # a hook answers, at once
            return
        loads = model not in self._asked and self.is_in_process(model)
        self._show_status(f"loading {model}" if loads else f"asking {model}")

    def _restart_turn(self, reason: str) -> None:
        """Drop the held text of the turn, and declare its shown text void."""
        shown = bool(self._turn) and not self._hold and self._answer
        self.partial, self._turn = "", []
        self._print_aside(f"{'The text above is void' if shown else 'The answer begins anew'}: {reason}")
        self._show_status(f"asking {self._model}")

    def _print_aside(self, line: str) -> None:
        self._hide_status()
        self._end_line()
        remark(line)

    def _finish_answer(self, content: str) -> None:
        # A model may answer without emitting deltas; the whole answer is still to be written then.
        if self._hold or not self._turn:
            self._write(content)
        self._end_line()

    def _set_aside_text(self) -> None:
        """Show the turn's text so far on stderr: text before tool calls, or a wrong output, is not the answer."""
        if self._hold and self._turn:
            notice("".join(self._turn))
        self._turn = []

    def _write(self, text: str) -> None:
        if text and self._answer:
            self._hide_status()
            self._thoughts.end()
            self._page.write(text)

    def _end_line(self) -> None:
        self._thoughts.end()
        self._page.end()

    def _show_status(self, what: str) -> None:
        """Show the work under way on the status line, unless another line is open."""
        if self._status is not None and not self._page.is_open and not self._thoughts.is_open:
            self._status.show(what)

    def _hide_status(self) -> None:
        if self._status is not None:
            self._status.hide()


def call_line(call: ToolCall) -> str:
    """Render a tool call on one line: `→ weather(city="Seoul")`."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        return _cut_line(f"→ {call.name}({call.arguments})")
    shown = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items())
    return _cut_line(f"→ {call.name}({shown})")


def progress_line(call: ToolCall, data: Any) -> str:
    """Render a tool's progress on one line: `… weather: half done`."""
    return _cut_line(f"… {call.name}: {data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)}")


def result_line(name: str, content: str, *, failed: bool = False) -> str:
    """Render a tool's result on one line: `← weather: Sun in Seoul`."""
    # The result of a tool that raised already begins with its name and "failed".
    if content.startswith(f"{name} failed: "):
        return _cut_line(f"← {content}")
    return _cut_line(f"← {name}{' failed' if failed else ''}: {content}")


def waiting_line(call: ToolCall, kind: ApprovalKind) -> str:
    """Render a pending approval on one line: `? weather(city="Seoul") waits for an approval`."""
    # Without the arrow of the call.
    return _cut_line(f"? {call_line(call)[2:]} waits for {_WAITS[kind]}")


def content_text(message: Message) -> str:
    """Return a message's texts and short descriptions of its media, each on a line."""
    from agno_rt.media import described

    content = (message.content,) if isinstance(message.content, str) else message.content
    return "\n".join(part if isinstance(part, str) else described(part) for part in content)


def message_text(message: Message) -> str:
    """Render a message for people, with each tool call, result and medium on a line."""
    text = clean(content_text(message))
    match message.role:
        case "user":
            return f"> {text}"
        case "tool":
            return clean(result_line(message.name or "tool", text))
        case _:
            return "\n".join([*([text] if text else []), *(clean(call_line(call)) for call in message.tool_calls)])


def _cut_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"
