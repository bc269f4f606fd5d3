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
"""Characters of a tool call or a result that are shown."""

_WAITS: dict[ApprovalKind, str] = {"approval": "an approval", "input": "an input", "external": "its result"}


class Display:
    """Shows the events of one run after another; use it in a `with` block for each run.

    A terminal is shown text as it comes, and Markdown in its form, unless it should be `plain`. Elsewhere, where
    scripts read, only the answer may be written: text that is `provisional`, and may turn out not to be the answer, is
    then held back until the run is over. Without `answer`, stdout is left to somebody else. `reasoning` says whether to
    show what the model thinks; unless told, a terminal is shown it.

    Attributes:
        partial: what the model has said in the turn under way
        seconds: how long the runs have taken since this was last set to 0
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
        self._wait("starting")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.seconds += time.monotonic() - self._began
        if self._status is not None:
            self._status.close()
        # What is said next, an error for one, begins on a line of its own.
        self._end_line()

    def show(self, event: Event) -> None:
        """Show what happened."""
        match event:
            case TextDelta():
                self._text(event.text)
            case ReasoningDelta():
                self._reasoning(event.text)
            case ModelStarted():
                self._new_turn(event.model)
            case ToolStarted() | ToolProgress() | ToolEnded() | ApprovalAsked():
                self._of_call(event)
            case TurnRestarted():
                self._restarted(event.reason)
            case GuardTripped() if event.action == "changed":
                # One that blocks ends the run with an error, which says the same.
                self._aside(f"The guardrail {event.guard} changed the {event.where}: {event.reason}")
            case RunEnded() if event.status == "completed":
                self._answered(event.content)
            case _:
                pass

    def render(self, text: str) -> None:
        """Write a text on stdout as answers are written."""
        self._page.write(text)
        self._page.end()

    def mutter(self, text: str) -> None:
        """Write a text on stderr, dimly: it was said before."""
        self._thoughts.write(text)
        self._thoughts.end()

    def _of_call(self, event: ToolStarted | ToolProgress | ToolEnded | ApprovalAsked) -> None:
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
            self._not_the_answer()
            self._aside(line)
            self._wait(", ".join(self._calls.values()) or f"asking {self._model}")

    def _text(self, text: str) -> None:
        self.partial += text
        self._turn.append(text)
        self._asked.add(self._model)
        if not self._hold:
            self._write(text)

    def _reasoning(self, text: str) -> None:
        self._asked.add(self._model)
        if not self._shows_reasoning:
            self._wait(f"{self._model} is thinking")
            return
        self._hide_status()
        self._page.end()
        self._thoughts.write(text)

    def _new_turn(self, model: str) -> None:
        self.partial, self._model = "", clean(model)
        self._not_the_answer()
        self._end_line()
        loads = model not in self._asked and self.is_in_process(model)
        self._wait(f"loading {model}" if loads else f"asking {model}")

    def _restarted(self, reason: str) -> None:
        """What was written of the turn is void: held text is dropped, shown text is said to be void."""
        shown = bool(self._turn) and not self._hold and self._answer
        self.partial, self._turn = "", []
        self._aside(f"{'That is void; begun anew' if shown else 'Begun anew'}: {reason}")
        self._wait(f"asking {self._model}")

    def _aside(self, line: str) -> None:
        self._hide_status()
        self._end_line()
        remark(line)

    def _answered(self, content: str) -> None:
        # A model may answer without emitting deltas; then nothing of its turn has been written yet.
        if self._hold or not self._turn:
            self._write(content)
        self._end_line()

    def _not_the_answer(self) -> None:
        """What the turn said so far came before tool calls, or did not fit: told, but not on stdout."""
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

    def _wait(self, what: str) -> None:
        """Show that something is under way, where somebody is watching and no line is open."""
        if self._status is not None and not self._page.is_open and not self._thoughts.is_open:
            self._status.show(what)

    def _hide_status(self) -> None:
        if self._status is not None:
            self._status.hide()


def call_line(call: ToolCall) -> str:
    """A tool call on one line: `→ weather(city="Seoul")`."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        return _cut(f"→ {call.name}({call.arguments})")
    shown = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items())
    return _cut(f"→ {call.name}({shown})")


def progress_line(call: ToolCall, data: Any) -> str:
    """How far a tool is, on one line: `… weather: half done`."""
    return _cut(f"… {call.name}: {data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)}")


def result_line(name: str, content: str, *, failed: bool = False) -> str:
    """A tool's result on one line: `← weather: Sun in Seoul`."""
    # What the model is told of a tool that raised says so itself.
    if content.startswith(f"{name} failed: "):
        return _cut(f"← {content}")
    return _cut(f"← {name}{' failed' if failed else ''}: {content}")


def waiting_line(call: ToolCall, kind: ApprovalKind) -> str:
    """What a run waits for, on one line: `? weather(city="Seoul") waits for an approval`."""
    return _cut(f"? {call_line(call)[2:]} waits for {_WAITS[kind]}")


def content_text(message: Message) -> str:
    """What a message says: its texts, and its media in a few words, on a line each."""
    from agno_rt.media import described

    content = (message.content,) if isinstance(message.content, str) else message.content
    return "\n".join(part if isinstance(part, str) else described(part) for part in content)


def message_text(message: Message) -> str:
    """A message as people read it: tool calls, results and media on a line each."""
    text = clean(content_text(message))
    match message.role:
        case "user":
            return f"> {text}"
        case "tool":
            return clean(result_line(message.name or "tool", text))
        case _:
            return "\n".join([*([text] if text else []), *(clean(call_line(call)) for call in message.tool_calls)])


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"
