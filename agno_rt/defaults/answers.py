"""Answers and examples from a file, for agents with a small model: the hooks `answers:basics` and `answers:FILE.toml`.

A table `[[replies]]` answers matching inputs in the model's place: with fixed words (`say`), or with a result
(`compute`: a `sum`, the `date` or the `time`). A table `[[examples]]` puts turns before the conversation, to show the
model how to answer such an input. Of each kind, the first matching table is used.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import attrs

from agno_rt.config import read_settings
from agno_rt.context import RunContext
from agno_rt.defaults._sums import answer_sum
from agno_rt.errors import ConfigError, UsageError
from agno_rt.hooks import Hook
from agno_rt.hookspecs import Register, hookimpl
from agno_rt.messages import Message
from agno_rt.models import ModelRequest, ModelResponse

__all__ = ["AnswersHook", "Examples", "Reply", "load_answers"]

_LONGEST = 2_000
"""Characters that patterns are tried on: a longer input is not small talk, and a pattern may be slow."""


_GROUP = re.compile(r"\{(?P<name>[a-z_]+)\}")


@attrs.frozen
class Reply:
    """A table `[[replies]]`: `when` is a regular expression, searched for in the input without regard to case.

    In `say`, `{name}` stands for the match of the group `(?P<name>...)`.
    """

    when: str
    say: str = ""
    compute: Literal["", "sum", "date", "time"] = ""


@attrs.frozen
class Examples:
    """A table `[[examples]]`: `turns` are pairs of a user's input and its answer."""

    when: str
    turns: list[list[str]]


@attrs.frozen
class _File:
    replies: list[dict[str, Any]] = attrs.Factory(list)
    examples: list[dict[str, Any]] = attrs.Factory(list)


class AnswersHook(Hook):
    """Answers matching inputs with a reply, or shows the model matching examples. `clock` gives the local time.

    A request for a typed answer and a request that ends with a tool's result go to the model unchanged.
    """

    def __init__(
        self,
        replies: tuple[Reply, ...] = (),
        examples: tuple[Examples, ...] = (),
        *,
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.name = "answers"
        self._replies = [(_compile_pattern(reply.when, reply.say), reply) for reply in replies]
        self._examples = [(_compile_pattern(each.when), _build_turns(each)) for each in examples]
        self._clock = clock

    async def before_model(self, context: RunContext, request: ModelRequest) -> ModelRequest | ModelResponse | None:
        """See `Hook.before_model`."""
        last = request.messages[-1]
        if last.role != "user" or request.output is not None:
            return None
        text = last.text.strip()
        said = self._reply(text[:_LONGEST]) if isinstance(last.content, str) else None
        if said is not None:
            return ModelResponse(said)
        turns = next((turns for pattern, turns in self._examples if pattern.search(text[:_LONGEST])), ())
        if not turns or request.tools:
            return None
        # Examples come after the instructions, since many chat templates take a system message only in front.
        at = 1 if request.messages[0].role == "system" else 0
        messages = (*request.messages[:at], *turns, *request.messages[at:])
        return attrs.evolve(request, messages=messages)

    def _reply(self, text: str) -> str | None:
        for pattern, reply in self._replies:
            found = pattern.search(text)
            if found is not None and (said := self._render_reply(reply, found)) is not None:
                return said
        return None

    def _render_reply(self, reply: Reply, found: re.Match[str]) -> str | None:
        if reply.compute == "sum":
            return answer_sum(found.string)
        if not reply.compute:
            return _GROUP.sub(lambda mark: found[mark["name"]] or "", reply.say)
        now = self._clock()
        if reply.compute == "date":
            return f"Today is {now:%A}, {now.day} {now:%B %Y}."
        return f"It is {now:%H:%M} on this computer."


def load_answers(path: Path) -> AnswersHook:
    """Make the hook of a TOML file. Raises `UsageError` for an unreadable file, `ConfigError` for a wrong one."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        hint = "Name a TOML file, as in answers:answers.toml, or write answers:basics."
        raise UsageError(f"the answers in {str(path)!r} cannot be read: {exc}", hint=hint) from exc
    return _parse_answers(text, str(path))


def _parse_answers(text: str, where: str) -> AnswersHook:
    try:
        file = read_settings(_File, tomllib.loads(text), where)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{where} is not valid TOML: {exc}", hint="Correct the line named above.") from exc
    replies = [read_settings(Reply, table, f"{where}: [[replies]] {at}") for at, table in enumerate(file.replies, 1)]
    shown = [read_settings(Examples, table, f"{where}: [[examples]] {at}") for at, table in enumerate(file.examples, 1)]
    try:
        return AnswersHook(tuple(replies), tuple(shown))
    except UsageError as exc:
        raise exc.at(where) from exc.__cause__


def _compile_pattern(text: str, say: str = "") -> re.Pattern[str]:
    try:
        pattern = re.compile(text, re.IGNORECASE)
        for name in _GROUP.findall(say):
            if name not in pattern.groupindex:
                hint = f"Write (?P<{name}>...) in it, or leave {{{name}}} out of `say`."
                raise UsageError(f"the pattern {text!r} has no group {name!r}, which its reply names", hint=hint)
        return pattern
    except re.error as exc:
        hint = "Write a regular expression; in TOML between single quotes, which leave backslashes alone."
        raise UsageError(f"the pattern {text!r} cannot be used: {exc}", hint=hint) from exc


def _build_turns(examples: Examples) -> tuple[Message, ...]:
    for turn in examples.turns:
        if len(turn) != 2:
            hint = 'Write turns = [["Who wrote Hamlet?", "William Shakespeare."]].'
            raise UsageError(f"an example has {len(turn)} texts, not a question and its answer", hint=hint)
    return tuple(
        message
        for asked, answered in examples.turns
        for message in (Message("user", asked), Message("assistant", answered))
    )


def _make_basics(rest: str, settings: Mapping[str, Any]) -> AnswersHook:
    if rest:
        raise UsageError(f"'answers:basics:{rest}' has an argument too many", hint="Write answers:basics.")
    text = (resources.files("agno_rt") / "defaults" / "answers.toml").read_text(encoding="utf-8")
    return _parse_answers(text, "answers:basics")


@hookimpl
def agno_rt_register_guardrails(register: Register) -> None:
    """Offer `answers:basics` and `answers:FILE.toml`."""
    register(
        "basics", _make_basics, help="Answer greetings, sums and the date in the model's place, and show it examples."
    )
    register("*", lambda rest, settings: load_answers(Path(rest)), help="Answers and examples from FILE.toml.")
