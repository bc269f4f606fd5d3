"""The tools that a model finds by searching: ranked by words, and called within a call of `call_tool`. Pure.

The list of tools in a request never changes, because a provider's cache begins with the list. So a found tool is not
added to the list: the model calls it through `call_tool`, and the run carries the inner call out as if the model had
called the found tool itself.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.errors import suggest
from agno_rt.messages import ToolCall
from agno_rt.tools import Tool, ToolArgumentError, tool

__all__ = ["CALL", "SEARCH", "ToolIndex"]

SEARCH, CALL = "search_tools", "call_tool"
"""The names of the two tools that the model sees in place of the others."""

FOUND = 5
"""The most tools in an answer to a search."""

MOST_CHARACTERS = 24_000
"""The most characters of the found tools together; the best is always shown."""

# A script without spaces has a word for each character; elsewhere a word ends where a capital begins, too.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_A-Za-z]+")
_NAME, _PARAMETER, _DESCRIPTION = 4.0, 1.5, 1.0
"""The weights of a word by its place in a tool."""
_LEAST_STEM = 4
"""Letters that two words must share at the start, for a plural or another form of the word to count."""
_SHORT_OF_WHOLE = 0.6
"""The worth of another form of a word."""


class ToolIndex:
    """The tools to find, and the two tools to find and call them with. Words are read at the first search."""

    def __init__(self, found: Sequence[Tool]) -> None:
        self._tools = {each.name: each for each in found}
        self._places = {each.name: at for at, each in enumerate(found)}
        self._words: dict[str, dict[str, float]] | None = None
        self._stems: dict[str, list[str]] = {}
        self._shown: dict[str, str] = {}
        self.tools = (self._make_search(), self._make_call())

    def search(self, query: str) -> str:
        """Return the tools that fit the words, best first, as text for the model: a line of JSON for each."""
        ranked = self._rank(query)
        if not ranked:
            return "No tool fits these words. Say in other words what the tool does."
        lines: list[str] = []
        room = MOST_CHARACTERS
        for name in ranked[:FOUND]:
            line = self._show(name)
            room -= len(line)
            if lines and room < 0:
                break
            lines.append(line)
        return "\n".join((f"{len(lines)} of {len(self._tools)} tools. Call one with {CALL}.", *lines))

    def find(self, call: ToolCall) -> ToolCall:
        """Return the call within a call of `call_tool`; any other call, and one that cannot be read, stays as it is."""
        if call.name != CALL:
            return call
        try:
            name, arguments = _read_call(call.arguments)
        except ValueError:
            return call
        return attrs.evolve(call, name=name, arguments=arguments) if name in self._tools else call

    def _rank(self, query: str) -> list[str]:
        """Return the names of the fitting tools, best first; of equals, the tool that was given first."""
        if query.strip() in self._tools:
            return [query.strip()]
        words = self._read_words()
        scores: defaultdict[str, float] = defaultdict(float)
        for asked in dict.fromkeys(_split(query)):
            for word, worth in self._list_forms(asked, words):
                weights = words[word]
                # A word of few tools says more than a word of many.
                rarity = math.log(1 + len(self._tools) / len(weights))
                for name, weight in weights.items():
                    scores[name] += worth * rarity * weight
        return sorted(scores, key=lambda name: (-scores[name], self._places[name]))

    def _read_words(self) -> dict[str, dict[str, float]]:
        if self._words is None:
            self._words = {}
            for name, each in self._tools.items():
                properties = each.parameters.get("properties", {})
                for text, weight in (
                    (name, _NAME),
                    (each.description, _DESCRIPTION),
                    (" ".join(map(str, properties)), _PARAMETER),
                ):
                    for word in set(_split(text)):
                        weights = self._words.setdefault(word, {})
                        weights[name] = weights.get(name, 0.0) + weight
            for word in self._words:
                self._stems.setdefault(word[:_LEAST_STEM], []).append(word)
        return self._words

    def _list_forms(self, asked: str, words: dict[str, dict[str, float]]) -> Iterator[tuple[str, float]]:
        """Yield the known words that are the asked word, or another form of the word, and the worth of each."""
        if asked in words:
            yield asked, 1.0
        stem = asked[: max(_LEAST_STEM, len(asked) - 3)]
        if len(stem) >= _LEAST_STEM:
            for word in self._stems.get(asked[:_LEAST_STEM], ()):
                if word != asked and word.startswith(stem) and len(word) <= len(asked) + 3:
                    yield word, _SHORT_OF_WHOLE

    def _show(self, name: str) -> str:
        line = self._shown.get(name)
        if line is None:
            each = self._tools[name]
            value = {"name": name, "description": each.description, "parameters": each.parameters}
            line = self._shown[name] = msgspec.json.encode(value).decode()
        return line

    def _make_search(self) -> Tool:
        def search_tools(query: str) -> str:
            return self.search(query)

        description = (
            "Search for tools by words about what they do. Returns the names, descriptions and parameters of tools to "
            f"call with {CALL}. Search before you say that you cannot do something."
        )
        return tool(name=SEARCH, description=description, inline=True, idempotent=True)(search_tools)

    def _make_call(self) -> Tool:
        def call_tool(name: str, arguments: dict[str, Any]) -> str:
            # The run carries a call of a known tool out by itself, so only a call that cannot be made comes here.
            raise ToolArgumentError(self._explain(name))

        description = f"Call a tool that {SEARCH} has found. `arguments` must fit the found tool's parameters."
        return tool(name=CALL, description=description, inline=True, idempotent=True)(call_tool)

    def _explain(self, name: str) -> str:
        if name in self._tools:
            return f"The arguments of {name} must be a JSON object that fits its parameters."
        return f"There is no tool {name!r}. {suggest('tool', name, self._tools)} Find tools with {SEARCH}."


def _read_call(text: str) -> tuple[str, str]:
    """Return the name and the arguments, as JSON text, in the arguments of `call_tool`. Raises `ValueError`.

    Models also write the arguments as a text with JSON in it, or beside the name.
    """
    given = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    name = msgspec.json.decode(given.pop("name", b'""'), type=str)
    arguments = given.pop("arguments", None)
    if arguments is None:
        return name, msgspec.json.encode(given).decode()
    raw = bytes(arguments)
    if raw.startswith(b'"'):
        raw = msgspec.json.decode(raw, type=str).encode()
    msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return name, raw.decode()


def _split(text: str) -> Iterator[str]:
    return (word.lower() for word in _WORD.findall(text))
