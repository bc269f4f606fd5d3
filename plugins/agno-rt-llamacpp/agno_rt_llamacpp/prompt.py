"""Conversations for models without tools in the chat template: everything becomes plain turns. Pure: no I/O.

The forms were chosen by measuring a 135M model. Such a model imitates: JSON in the history leads to JSON for ever, and
examples teach it to fill in arguments, while a description alone does not.
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
"""Parameters for the user's own words."""


def plain(messages: Sequence[Message]) -> list[Message]:
    """Turn the conversation into alternating user and assistant turns, after one system turn.

    The result of a tool goes behind the question; the call is left out.
    """
    turns: list[Message] = []
    question = ""
    results: list[str] = []
    for message in messages:
        text = _read_text(message)
        if message.role == "tool":
            results.append(text)
            continue
        _add_results(turns, results, question)
        results = []
        if message.role == "user":
            question = text
        if text.strip() or message.role == "user":
            turns.append(Message(message.role, text))
    _add_results(turns, results, question)
    return list(_merge_turns(turns))


def with_instructions(turns: Sequence[Message], *instructions: str) -> list[Message]:
    """Add instructions to the end of the system message."""
    said = [turns[0].text] if turns and turns[0].role == "system" else []
    text = "\n\n".join(part for part in (*said, *instructions) if part)
    rest = turns[len(said) :]
    return [Message("system", text), *rest] if text else list(rest)


def tools_described(tools: Sequence[Tool]) -> str:
    """Describe the tools to the model."""
    lines = [f"- {tool.name}({_write_signature(tool.parameters)}): {_first_line(tool.description)}" for tool in tools]
    return "\n".join(
        (
            "You can call these functions:",
            *lines,
            'To call one, answer with JSON alone: {"name": FUNCTION, "arguments": {...}}',
        )
    )


def output_described(schema: Mapping[str, Any]) -> str:
    """Describe the required JSON to the model."""
    return f"Answer with JSON that fits this schema: {json.dumps(schema, ensure_ascii=False)}"


def examples(tools: Sequence[Tool]) -> list[Message]:
    """Return example turns with a call of a tool for the user's own words; none for other tools.

    Examples help such tools only: the model copies made-up values from the examples of other tools.
    """
    name = _find_question_parameter(tools[0].parameters) if len(tools) == 1 else None
    if name is None:
        return []
    turns: list[Message] = []
    for asked in _QUESTIONS:
        call = json.dumps({"name": tools[0].name, "arguments": {name: asked}}, ensure_ascii=False)
        turns += [Message("user", asked), Message("assistant", call)]
    return turns


def answer_examples(messages: Sequence[Message]) -> list[Message]:
    """Return example turns with an answer from a tool's result, if the conversation ends with a result.

    Passages of named files have other examples than other results.
    """
    last = messages[-1] if messages else None
    if last is None or last.role != "tool":
        return []
    turns: list[Message] = []
    for asked, found, answer in _ANSWERS if _read_text(last).startswith("From ") else _RESULTS:
        turns += [Message("user", f"{asked}\n\n{found}"), Message("assistant", answer)]
    return turns


def _read_text(message: Message) -> str:
    """Return the message's text, with the attached text files."""
    content = inlined(message.content)
    return content if isinstance(content, str) else message.text


def _add_results(turns: list[Message], results: list[str], question: str) -> None:
    if not results:
        return
    if turns and turns[-1].role == "user" and turns[-1].text == question:
        turns.pop()
    turns.append(Message("user", "\n\n".join((question, *results)).strip()))


def _merge_turns(turns: Sequence[Message]) -> Iterator[Message]:
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


def _find_question_parameter(parameters: Mapping[str, Any]) -> str | None:
    """Return the only required parameter, if the parameter is for the user's own words."""
    required = parameters.get("required", ())
    if len(required) != 1 or required[0].lower() not in _ASKING:
        return None
    schema = parameters.get("properties", {}).get(required[0], {})
    return str(required[0]) if schema.get("type") == "string" else None


def _write_signature(parameters: Mapping[str, Any]) -> str:
    properties: Mapping[str, Any] = parameters.get("properties", {})
    return ", ".join(f"{name}: {_describe_type(schema)}" for name, schema in properties.items())


def _describe_type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    return str(schema.get("type", "any"))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def without_marks(value: Any, marks: tuple[str, ...]) -> Any:
    """Return the JSON value with a space inside each control token in its texts.

    A model obeys control tokens in a prompt, such as the end of a turn or the start of the system's, even if a user, a
    file or a tool's result wrote them.
    """
    if isinstance(value, str):
        return _MARK.sub(_insert_space, value) if not marks else _match_any(marks).sub(_insert_space, value)
    if isinstance(value, dict):
        return {without_marks(key, marks): without_marks(item, marks) for key, item in value.items()}
    return [without_marks(item, marks) for item in value] if isinstance(value, list | tuple) else value


_MARK = re.compile(r"<\|[^<>|\s]{1,40}\|>")
"""The usual form of control tokens, for a model file without a list."""


def _insert_space(mark: re.Match[str]) -> str:
    return f"{mark[0][0]} {mark[0][1:]}"


@functools.lru_cache(maxsize=8)
def _match_any(marks: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))))
