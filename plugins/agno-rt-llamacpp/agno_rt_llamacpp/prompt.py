"""Conversations for models whose chat template knows no tools: everything is said in plain turns. Pure: no I/O.

The forms here were chosen by measuring a 135M model, which imitates what it sees: JSON in its history makes it write
JSON for ever, and a description alone does not teach it to fill in arguments, while examples do.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agno_rt.media import inlined
from agno_rt.messages import Message
from agno_rt.tools import Tool

__all__ = [
    "answer_examples",
    "examples",
    "output_described",
    "plain",
    "tools_described",
    "with_instructions",
    "without_marks",
]

_QUESTIONS = ("Where is the Eiffel Tower?", "Who wrote Hamlet?")
_ANSWERS = (
    (
        "How long do cats sleep?",
        "From animals.md:\n# Cats\nCats sleep sixteen hours a day. They hunt at night.",
        "According to animals.md, cats sleep sixteen hours a day.",
    ),
    (
        "How many strings does a violin have?",
        "From music.md:\n# Strings\nThe violin has four strings. The harp has forty-seven.",
        "According to music.md, the violin has four strings.",
    ),
    (
        "How long is bread baked?",
        "From kitchen/bread.md:\n# Baking\nBread is baked at 220 degrees for forty minutes.",
        "According to kitchen/bread.md, bread is baked for forty minutes.",
    ),
)
_RESULTS = (
    (
        "When does the next train leave?",
        "The next train leaves at 9:40 from platform 2.",
        "The next train leaves at 9:40 from platform 2.",
    ),
    ("What is it like in Oslo?", "Oslo: 3 degrees, snow", "It is 3 degrees in Oslo, with snow."),
    ("Is the shop open?", "The shop is open until 18:00.", "The shop is open until 18:00."),
)
_ASKING = frozenset({"input", "prompt", "q", "query", "question", "request", "text"})
"""Parameters that take the user's own words."""


def plain(messages: Sequence[Message]) -> list[Message]:
    """The conversation in system, user and assistant turns that alternate, the results of tools within the user's.

    A result goes behind the question that it helps to answer; the call itself is left out.
    """
    turns: list[Message] = []
    question = ""
    results: list[str] = []
    for message in messages:
        text = _text(message)
        if message.role == "tool":
            results.append(text)
            continue
        _take_in(turns, results, question)
        results = []
        if message.role == "user":
            question = text
        if text.strip() or message.role == "user":
            turns.append(Message(message.role, text))
    _take_in(turns, results, question)
    return list(_merged(turns))


def with_instructions(turns: Sequence[Message], *instructions: str) -> list[Message]:
    """The conversation with more instructions at the end of its system message."""
    said = [turns[0].text] if turns and turns[0].role == "system" else []
    text = "\n\n".join(part for part in (*said, *instructions) if part)
    rest = turns[len(said) :]
    return [Message("system", text), *rest] if text else list(rest)


def tools_described(tools: Sequence[Tool]) -> str:
    """What a model is told of its tools."""
    lines = [f"- {tool.name}({_signature(tool.parameters)}): {_first_line(tool.description)}" for tool in tools]
    return "\n".join(
        (
            "You can call these functions:",
            *lines,
            'To call one, answer with JSON alone: {"name": FUNCTION, "arguments": {...}}',
        )
    )


def output_described(schema: Mapping[str, Any]) -> str:
    """What a model is told of the JSON that it is held to."""
    return f"Answer with JSON that fits this schema: {json.dumps(schema, ensure_ascii=False)}"


def examples(tools: Sequence[Tool]) -> list[Message]:
    """Turns that show how a tool which takes the user's own words is called; none for tools of another kind.

    They are worth it there alone: examples with made-up values are imitated, values and all.
    """
    name = _asking(tools[0].parameters) if len(tools) == 1 else None
    if name is None:
        return []
    turns: list[Message] = []
    for asked in _QUESTIONS:
        call = json.dumps({"name": tools[0].name, "arguments": {name: asked}}, ensure_ascii=False)
        turns += [Message("user", asked), Message("assistant", call)]
    return turns


def answer_examples(messages: Sequence[Message]) -> list[Message]:
    """Turns that show how a tool's result is answered from, where the conversation ends with one.

    There are some for passages of named files, and some for other results.
    """
    last = messages[-1] if messages else None
    if last is None or last.role != "tool":
        return []
    turns: list[Message] = []
    for asked, found, answer in _ANSWERS if _text(last).startswith("From ") else _RESULTS:
        turns += [Message("user", f"{asked}\n\n{found}"), Message("assistant", answer)]
    return turns


def _text(message: Message) -> str:
    """The message's text, with the files of text that go with it."""
    content = inlined(message.content)
    return content if isinstance(content, str) else message.text


def _take_in(turns: list[Message], results: list[str], question: str) -> None:
    if not results:
        return
    if turns and turns[-1].role == "user" and turns[-1].text == question:
        turns.pop()
    turns.append(Message("user", "\n\n".join((question, *results)).strip()))


def _merged(turns: Sequence[Message]) -> Iterator[Message]:
    system = "\n\n".join(turn.text for turn in turns if turn.role == "system")
    if system:
        yield Message("system", system)
    last: Message | None = None
    for turn in turns:
        if turn.role == "system":
            continue
        if last is not None and last.role == turn.role:
            last = Message(last.role, f"{last.content}\n\n{turn.text}")
            continue
        if last is not None:
            yield last
        last = turn
    if last is not None:
        yield last


def _asking(parameters: Mapping[str, Any]) -> str | None:
    """The one parameter that is required, if it takes the user's own words."""
    required = parameters.get("required", ())
    if len(required) != 1 or required[0].lower() not in _ASKING:
        return None
    schema = parameters.get("properties", {}).get(required[0], {})
    return str(required[0]) if schema.get("type") == "string" else None


def _signature(parameters: Mapping[str, Any]) -> str:
    properties: Mapping[str, Any] = parameters.get("properties", {})
    return ", ".join(f"{name}: {_kind(schema)}" for name, schema in properties.items())


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    return str(schema.get("type", "any"))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def without_marks(value: Any, marks: tuple[str, ...]) -> Any:
    """The JSON value with a space within each of the marks in its texts.

    A model takes its control tokens in a prompt for what they stand for, the end of a turn or the beginning of the
    system's, whoever wrote them: a user, a file, a tool's result.
    """
    if isinstance(value, str):
        return _MARK.sub(_spaced, value) if not marks else _any_of(marks).sub(_spaced, value)
    if isinstance(value, dict):
        return {without_marks(key, marks): without_marks(item, marks) for key, item in value.items()}
    return [without_marks(item, marks) for item in value] if isinstance(value, list | tuple) else value


_MARK = re.compile(r"<\|[^<>|\s]{1,40}\|>")
"""What marks mostly look like, for a model whose file does not tell."""


def _spaced(mark: re.Match[str]) -> str:
    return f"{mark[0][0]} {mark[0][1:]}"


@functools.lru_cache(maxsize=8)
def _any_of(marks: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))))
